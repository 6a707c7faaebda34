import type { Output } from "./output.js";

/** What the lines to copy depend on. */
export interface WelcomeFacts {
  readonly url: string;
  readonly httpUrl: string;
  /** As the person would type it. */
  readonly dataDir: string;
  /** What the stack was started with. */
  readonly env: NodeJS.ProcessEnv;
  readonly tookS: number;
}

const DEFAULT_URL = "ws://127.0.0.1:4001/v1/ws";
const DEFAULT_DATA_DIR = ".bimip";
/** What makes a token is needed in the terminals where tokens are made. */
const NEEDED_THERE = ["BIMIP_JWT_SECRET", "BIMIP_JWT_ISSUER", "BIMIP_JWT_AUDIENCE"];
const [ALICE, BOB] = ["alice@example.com", "bob@example.com"];

/** What `bimip up` says when all is ready: each line to copy works as it stands. */
export function welcomeText(facts: WelcomeFacts, paint: Output["paint"]): string {
  const { url, httpUrl, dataDir, env } = facts;
  const hasRates = Object.entries(env).some(([name, value]) => name.startsWith("BIMIP_RATE_") && value);
  const rates = hasRates ? "rate limits off unless set" : "rate limits off";
  const needed = NEEDED_THERE.filter((name) => env[name]);
  const certificate = env["BIMIP_TLS_CERT_FILE"];
  // It knows no certificate of one's own either.
  const curl = certificate ? `curl --cacert ${shellWord(certificate)}` : "curl";
  // There is no secret in the data directory then.
  const secretFromEnvironment = Boolean(env["BIMIP_JWT_SECRET"]);
  const atUrl = url === DEFAULT_URL ? "" : ` --url ${shellWord(url)}`;
  const atData = secretFromEnvironment || dataDir === DEFAULT_DATA_DIR ? "" : ` --data-dir ${shellWord(dataDir)}`;
  const row = (name: string, text: string): string => `  ${paint("dim", name.padEnd(12))}${text}`;
  const command = (name: string, text: string): string => `  ${paint("dim", name.padEnd(12))}${paint("cyan", text)}`;
  return [
    "",
    `${paint("green", "BIMIP is ready")} (${facts.tookS.toFixed(1)} s)`,
    paint("yellow", `Development profile: one replica, fsync every two minutes, ${rates}. Not for production.`),
    "",
    row("server", url),
    row("data", `${dataDir}   logs in ${dataDir}/logs`),
    "",
    "What to do next, each line in a terminal of its own:",
    ...(needed.length > 0 ? [`(set ${and(needed)} there as well)`] : []),
    ...(certificate
      ? [`(a certificate of your own: set NODE_EXTRA_CA_CERTS there, to ${certificate} or the file of its CA)`]
      : []),
    command("terminal 1", `npx bimip chat --as ${ALICE} --to ${BOB}${atUrl}${atData}`),
    command("terminal 2", `npx bimip chat --as ${BOB} --to ${ALICE}${atUrl}${atData}`),
    command("one message", `npx bimip send --as ${ALICE} --to ${BOB} "hello"${atUrl}${atData}`),
    command("a token", `npx bimip token --eid ${ALICE} --device phone${atData}`),
    command("health", `${curl} ${httpUrl}/readyz`),
    command("metrics", `${curl} -s ${httpUrl}/metrics`),
    "",
    paint("dim", "Ctrl-C stops everything; the next start finds the data again."),
  ].join("\n");
}

/** `a`, `a and b`, `a, b and c`. */
function and(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** A word for a POSIX shell, quoted where it has to be. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
