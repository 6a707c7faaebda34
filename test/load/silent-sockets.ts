// `npm run silent-sockets`: thousands of connections that say nothing; how long does a login take meanwhile?
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { makeCertificate } from "../kit/certificates.js";
import { defaultLimits } from "../kit/limits.js";
import { type Logins, measureLogins } from "./logins.js";
import { runScript } from "./run-script.js";
import type { SilentKind, SilentOrder, SilentReport } from "./silent-crowd.js";
import { table } from "./table.js";

const { values: args } = parseArgs({
  options: {
    sockets: { type: "string", default: "5000" },
    logins: { type: "string", default: "100" },
    addresses: { type: "string", default: "50" },
    seconds: { type: "string", default: "15" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run silent-sockets -- [options]
  --sockets N    that say nothing, at any time (5000)
  --addresses N  that they come from, 127.0.1.1 and up, where the limits allow as many; besides, all of one with the default limits (50)
  --logins N     one after the other, before and meanwhile (100)
  --seconds N    that they stand at least (15: longer than any of them is left alone)`;

const MAX_LOGIN_MS = 1_000;
const STAND_MS = 60_000;
const DEADLINE_MS = 15 * 60_000;
const SILENT = Number(args.sockets);
const PER_ADDRESS = Math.ceil(SILENT / Number(args.addresses));
const MANY = Array.from({ length: Number(args.addresses) }, (_, n) => `127.0.1.${n + 1}`);

/** Limits under which all of them may stand, and as long as the longest. */
const RAISED = {
  ...defaultLimits(),
  BIMIP_MAX_UNAUTHENTICATED: String(2 * SILENT),
  BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: String(2 * PER_ADDRESS),
  // Those whose time is over come again.
  BIMIP_RATE_CONNECTS: "1000/2000",
};

interface Scenario {
  readonly name: string;
  readonly kind: SilentKind;
  readonly addresses: readonly string[];
  /** They all stand at one time. */
  readonly allStand: boolean;
}

interface Outcome {
  readonly scenario: Scenario;
  readonly before: Logins;
  readonly meanwhile: Logins;
  readonly crowd: SilentReport;
}

/** The attackers' process. */
class Crowd {
  readonly #child: ChildProcess;

  constructor(order: SilentOrder) {
    const file = new URL("./silent-crowd-process.ts", import.meta.url);
    this.#child = fork(file, { execArgv: ["--conditions=bimip-src", "--import", "tsx"] });
    this.#child.send({ order });
  }

  async report(): Promise<SilentReport> {
    this.#child.send({});
    const [report] = (await once(this.#child, "message")) as [SilentReport];
    return report;
  }

  async stop(): Promise<void> {
    this.#child.disconnect();
    await once(this.#child, "exit");
  }
}

async function attack(stack: Stack, scenario: Scenario, ca: string | undefined): Promise<Outcome> {
  const { kind, addresses, name, allStand } = scenario;
  const port = Number(new URL(stack.httpUrl).port);
  const url = `${ca === undefined ? "ws" : "wss"}://localhost:${port}/v1/ws`;
  const logins = (when: string): Promise<Logins> =>
    measureLogins(url, {
      count: Number(args.logins),
      token: (n) => issueToken({ secret: stack.secret, eid: `${when}-${kind}-${n}@load`, device: "load" }),
      ca,
    });
  process.stderr.write(`${name} …\n`);
  await logins("warm-up");
  const before = await logins("before");
  const crowd = new Crowd({ port, kind, count: SILENT, addresses });
  try {
    const standsMs = performance.now();
    while (allStand && (await crowd.report()).most < SILENT) {
      if (performance.now() - standsMs > STAND_MS)
        throw new Error(`${name}: they do not stand: ${JSON.stringify(await crowd.report())}`);
      await delay(100);
    }
    const meanwhileMs = performance.now();
    const taken = [await logins("meanwhile")];
    while (performance.now() - meanwhileMs < Number(args.seconds) * 1_000) taken.push(await logins("meanwhile"));
    const worst = taken.reduce((a, b) => (b.max > a.max ? b : a));
    const failed = taken.reduce((sum, one) => sum + one.failed, 0);
    return { scenario, before, meanwhile: { ...worst, failed }, crowd: await crowd.report() };
  } finally {
    await crowd.stop();
  }
}

async function withStack(
  env: Record<string, string>,
  ca: string | undefined,
  scenarios: readonly Scenario[],
): Promise<Outcome[]> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-silent-"));
  const stack = await startStack({ dataDir, env: { ...process.env, BIMIP_LOG_LEVEL: "error", ...env }, port: 0 });
  try {
    const outcomes: Outcome[] = [];
    for (const scenario of scenarios) {
      const outcome = await attack(stack, scenario, ca);
      process.stderr.write(`  ${JSON.stringify({ meanwhile: outcome.meanwhile, crowd: outcome.crowd })}\n`);
      outcomes.push(outcome);
    }
    return outcomes;
  } finally {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function main(): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), "bimip-silent-tls-"));
  const authority = makeCertificate({ name: "authority", isAuthority: true });
  const { cert, key } = makeCertificate({ name: "localhost", issuer: authority });
  const tls = { BIMIP_TLS_CERT_FILE: join(directory, "tls.crt"), BIMIP_TLS_KEY_FILE: join(directory, "tls.key") };
  await writeFile(tls.BIMIP_TLS_CERT_FILE, cert + authority.cert);
  await writeFile(tls.BIMIP_TLS_KEY_FILE, key);
  try {
    const many = { addresses: MANY, allStand: true };
    const one = { addresses: ["127.0.2.1"], allStand: false };
    const outcomes = [
      ...(await withStack(RAISED, undefined, [
        { name: "WebSockets without a first frame", kind: "websocket", ...many },
        { name: "half requests", kind: "request", ...many },
        { name: "connections without a word", kind: "connection", ...many },
      ])),
      ...(await withStack({ ...RAISED, ...tls }, authority.cert, [
        { name: "half TLS handshakes", kind: "handshake", ...many },
      ])),
      ...(await withStack(defaultLimits(), undefined, [
        { name: "WebSockets, one address, default limits", kind: "websocket", ...one },
        { name: "half requests, one address, default limits", kind: "request", ...one },
      ])),
    ];
    return show(outcomes);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function show(outcomes: readonly Outcome[]): boolean {
  const ms = (value: number): string => value.toFixed(1);
  process.stdout.write(
    table(
      ["silent", "stood at most", "opened", "login ms before p50", "max", "meanwhile p50", "p95", "max", "failed"],
      outcomes.map(({ scenario, before, meanwhile, crowd }) => [
        scenario.name,
        crowd.most,
        crowd.opened,
        ms(before.p50),
        ms(before.max),
        ms(meanwhile.p50),
        ms(meanwhile.p95),
        ms(meanwhile.max),
        meanwhile.failed,
      ]),
    ),
  );
  for (const { scenario, crowd } of outcomes) {
    process.stdout.write(`${scenario.name}: answers to those that ended ${JSON.stringify(crowd.answers)}\n`);
  }
  const good = outcomes.every(
    ({ meanwhile, before }) => meanwhile.max < MAX_LOGIN_MS && meanwhile.failed === 0 && before.failed === 0,
  );
  process.stdout.write(`\nno login takes ${MAX_LOGIN_MS} ms, none fails: ${good ? "good" : "FAILED"}\n`);
  return good;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
