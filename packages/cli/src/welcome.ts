import type { Output } from "./output.js";

/** What the lines to copy depend on. */
export interface WelcomeFacts {
  readonly url: string;
  readonly httpUrl: string;
  /** As the person would type it. */
  readonly dataDir: string;
  /** true: BIMIP_JWT_SECRET was set, so the data directory holds no secret that other terminals could find. */
  readonly secretFromEnvironment: boolean;
  readonly tookS: number;
}

const DEFAULT_URL = "ws://127.0.0.1:4001/v1/ws";
const DEFAULT_DATA_DIR = ".bimip";
const [ALICE, BOB] = ["alice@example.com", "bob@example.com"];

/** What `bimip up` says when all is ready: each line to copy works as it stands. */
export function welcomeText(facts: WelcomeFacts, paint: Output["paint"]): string {
  const { url, httpUrl, dataDir, secretFromEnvironment } = facts;
  const atUrl = url === DEFAULT_URL ? "" : ` --url ${shellWord(url)}`;
  const atData = secretFromEnvironment || dataDir === DEFAULT_DATA_DIR ? "" : ` --data-dir ${shellWord(dataDir)}`;
  const row = (name: string, text: string): string => `  ${paint("dim", name.padEnd(12))}${text}`;
  const command = (name: string, text: string): string => `  ${paint("dim", name.padEnd(12))}${paint("cyan", text)}`;
  return [
    "",
    `${paint("green", "BIMIP is ready")} (${facts.tookS.toFixed(1)} s)`,
    paint("yellow", "Development profile: one replica, fsync every two minutes, rate limits off. Not for production."),
    "",
    row("server", url),
    row("data", `${dataDir}   logs in ${dataDir}/logs`),
    "",
    "What to do next, each line in a terminal of its own:",
    ...(secretFromEnvironment ? ["(set BIMIP_JWT_SECRET there as well)"] : []),
    command("terminal 1", `npx bimip chat --as ${ALICE} --to ${BOB}${atUrl}${atData}`),
    command("terminal 2", `npx bimip chat --as ${BOB} --to ${ALICE}${atUrl}${atData}`),
    command("one message", `npx bimip send --as ${ALICE} --to ${BOB} "hello"${atUrl}${atData}`),
    command("a token", `npx bimip token --eid ${ALICE} --device phone${atData}`),
    command("health", `curl ${httpUrl}/readyz`),
    command("metrics", `curl -s ${httpUrl}/metrics`),
    "",
    paint("dim", "Ctrl-C stops everything; the next start finds the data again."),
  ].join("\n");
}

/** A word for a POSIX shell, quoted where it has to be. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
