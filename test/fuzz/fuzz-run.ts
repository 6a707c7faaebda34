import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { issueToken } from "@bimip/auth";
import { startStack, type Stack, type StackEvent } from "@bimip/devstack";
import { type Percentiles, percentiles } from "../bench/percentiles.js";
import { defaultLimits } from "../kit/limits.js";
import { SteadyTraffic } from "../load/steady-traffic.js";
import type { AttackOrder, AttackPlan, AttackReport } from "./attack-plan.js";
import { INSPECTED, type Memory, memoryOf } from "./inspected.js";
import { SlowHandshakes } from "./slow-handshakes.js";
import { Tally, type TallyData } from "./tally.js";

export interface FuzzOptions {
  readonly seed: number;
  readonly frames: number;
  readonly sessions: number;
  readonly framesPerSecond: number;
  /** Rate limits and the limit of abuse as they are by default; off otherwise, so that every frame is looked at. */
  readonly limits: boolean;
  readonly cutEvery: number;
  readonly slowHandshakes: number;
  readonly baselineMs: number;
  /** Before what is measured, so that what was is over. */
  readonly settleMs: number;
  /** Looks into the services' memory, which takes some seconds; the report's is empty otherwise. */
  readonly memory: boolean;
  /** Over everything else. */
  readonly env?: Readonly<Record<string, string>>;
  readonly progress?: (line: string) => void;
}

/** The neighbours' messages in one part of the run: end to end, milliseconds. */
export type Neighbours = Percentiles & { readonly count: number };

export interface FuzzReport {
  readonly attack: TallyData;
  readonly seconds: number;
  /** What the receiver got, by kind. */
  readonly came: Readonly<Record<string, number>>;
  /** Before the attack, during it, and after it. */
  readonly neighbours: { readonly before: Neighbours; readonly during: Neighbours; readonly after: Neighbours };
  /** Neighbours' messages that never came. */
  readonly lost: number;
  /** Per service, after the first fifth of the frames and at the end. */
  readonly memory: readonly { readonly name: string; readonly warm: Memory; readonly end: Memory }[];
  readonly maxLagMs: number;
  readonly slow: { readonly ended: number; readonly open: number; readonly longestMs: number };
  /** Processes that ended, and lines in their logs that must not be there. */
  readonly crashes: readonly string[];
  readonly badLines: readonly string[];
  /** What the attackers, the receiver and the strangers found wrong. */
  readonly problems: readonly string[];
  readonly last: AttackReport["last"];
}

const SERVICES = ["gateway", "router", "awareness", "storage"] as const;
const PAIRS = 4;
const NEIGHBOURS_PER_SECOND = 100;
const TARGET = "target@fuzz";
const WARM_SHARE = 0.2;
const ARRIVE_MS = 10_000;
/** All come from one address here, and the machine may be busy with something else. */
const ONE_ADDRESS = {
  BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "0",
  BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "0",
  BIMIP_RATE_CONNECTS: "off",
  BIMIP_SHED_LAG_MS: "0",
  BIMIP_MAX_CONTACTS: "50",
};

/** Starts a stack of its own, attacks it with mutated frames from many sessions, and tells what became of it and of its neighbours. */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-fuzz-"));
  const crashes: string[] = [];
  let stopping = false;
  const onEvent = (event: StackEvent): void => {
    if (event.type === "exited" && !stopping) crashes.push(`${event.name} (pid ${event.pid}) ended with ${event.how}`);
  };
  const limits = options.limits ? defaultLimits() : {};
  const inspected = options.memory ? INSPECTED : {};
  const env = { ...process.env, BIMIP_LOG_LEVEL: "warn", ...limits, ...ONE_ADDRESS, ...inspected, ...options.env };
  const stack = await startStack({ dataDir, env, port: 0, onEvent });
  const pids = JSON.stringify(stack.processes());
  try {
    const report = await attacked(stack, options);
    if (JSON.stringify(stack.processes()) !== pids) crashes.push("not all processes are those of the start");
    const badLines = (await Promise.all(SERVICES.map((name) => badLinesOf(dataDir, name)))).flat();
    return { ...report, crashes, badLines };
  } finally {
    stopping = true;
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function attacked(stack: Stack, options: FuzzOptions): Promise<Omit<FuzzReport, "crashes" | "badLines">> {
  const { frames, baselineMs, settleMs, progress = () => undefined } = options;
  const port = Number(new URL(stack.httpUrl).port);
  const own = new Tally();
  const traffic = await neighboursOf(stack, port);
  const lag = new Lag(stack.httpUrl);
  const slow = new SlowHandshakes(port, own);
  const { framesPerSecond, seed, sessions, cutEvery } = options;
  const attacker = await Attackers.start({
    port,
    secret: stack.secret,
    seed,
    sessions,
    framesPerSecond,
    cutEvery,
    target: TARGET,
  });
  try {
    await delay(settleMs);
    traffic.take();
    await delay(baselineMs);
    const before = traffic.take();
    progress(`baseline: p99 ${before.p99.toFixed(1)} ms`);
    slow.start(options.slowHandshakes);
    await lag.look(false);
    const startedMs = performance.now();
    await attacker.run(Math.ceil(frames * WARM_SHARE), true);
    const warmedMs = performance.now() - startedMs;
    const first = traffic.takeAll();
    await lag.look(true);
    await delay(settleMs);
    const warm = options.memory ? await memoryOfAll(stack) : [];
    traffic.take();
    progress(`warm after ${(warmedMs / 1_000).toFixed(0)} s: neighbours' p99 ${percentiles(first).p99.toFixed(1)} ms`);
    await lag.look(false);
    const againMs = performance.now();
    const { tally, came, last, failed } = await attacker.run(frames, true);
    const seconds = (warmedMs + performance.now() - againMs) / 1_000;
    const during = [...first, ...traffic.takeAll()];
    await lag.look(true);
    await delay(settleMs);
    const end = options.memory ? await memoryOfAll(stack) : [];
    traffic.take();
    await delay(baselineMs);
    const after = traffic.take();
    const lost = await lostOf(traffic);
    return {
      attack: tally,
      seconds,
      came,
      neighbours: { before, during: { ...percentiles(during), count: during.length }, after },
      lost,
      memory: warm.map((one, at) => ({ name: SERVICES[at] ?? "", warm: one, end: end[at] ?? one })),
      maxLagMs: lag.maxMs,
      slow: { ended: slow.ended, open: slow.open, longestMs: slow.longestMs },
      problems: [...(failed === "" ? [] : [failed]), ...tally.problems, ...own.problems],
      last,
    };
  } finally {
    attacker.stop();
    await slow.stop();
    traffic.close();
  }
}

async function neighboursOf(stack: Stack, port: number): Promise<SteadyTraffic> {
  const token = (eid: string): Promise<string> => issueToken({ secret: stack.secret, eid, device: "load" });
  const pairs = await Promise.all(
    Array.from({ length: PAIRS }, async (_, n) => ({
      senderToken: await token(`neighbour-a${n}@x`),
      receiverToken: await token(`neighbour-b${n}@x`),
      to: `neighbour-b${n}@x`,
    })),
  );
  const traffic = await SteadyTraffic.open({ port, pairs, perSecond: NEIGHBOURS_PER_SECOND });
  traffic.start();
  return traffic;
}

async function lostOf(traffic: SteadyTraffic): Promise<number> {
  traffic.stop();
  for (const startedMs = performance.now(); performance.now() - startedMs < ARRIVE_MS && traffic.underWay > 0; )
    await delay(20);
  return traffic.underWay;
}

async function memoryOfAll(stack: Stack): Promise<Memory[]> {
  const memory: Memory[] = [];
  for (const name of SERVICES) {
    const logFile = join(stack.dataDir, "logs", `${name}.log`);
    memory.push(await memoryOf({ pid: stack.process(name).pid, logFile }));
  }
  return memory;
}

/** The most that the gateway's event loop was late, as its metrics say it; each look begins anew. */
class Lag {
  maxMs = 0;
  readonly #url: string;

  constructor(httpUrl: string) {
    this.#url = `${httpUrl}/metrics`;
  }

  /** @param counts false: what was is of no interest, such as the collection of all garbage */
  async look(counts: boolean): Promise<void> {
    const text = await (await fetch(this.#url)).text();
    const seconds = Number(/^bimip_nodejs_eventloop_lag_max_seconds\S* (\S+)$/m.exec(text)?.[1] ?? 0);
    if (counts) this.maxMs = Math.max(this.maxMs, seconds * 1_000);
  }
}

/** What says that a handler failed, or worse. That something was refused is what the log is for. */
async function badLinesOf(dataDir: string, name: string): Promise<string[]> {
  const lines = (await readFile(join(dataDir, "logs", `${name}.log`), "utf8")).split("\n");
  return lines
    .filter((line) => /"level":"(?:error|fatal)"|unhandled|uncaught|terminate|RangeError|TypeError/i.test(line))
    .map((line) => `${name}: ${line.slice(0, 500)}`);
}

/** The attacking process. */
class Attackers {
  readonly #child: ReturnType<typeof fork>;

  private constructor() {
    this.#child = fork(fileURLToPath(new URL("./attack.ts", import.meta.url)), {
      execArgv: ["--conditions=bimip-src", "--import", "tsx"],
    });
  }

  static async start(plan: AttackPlan): Promise<Attackers> {
    const attackers = new Attackers();
    await once(attackers.#child, "spawn");
    attackers.#order({ type: "plan", plan });
    return attackers;
  }

  /** @throws Error when the process ends before it is done */
  async run(frames: number, cuts: boolean): Promise<AttackReport> {
    this.#order({ type: "run", frames, cuts });
    const ended = once(this.#child, "exit").then(([code]) => {
      throw new Error(`the attacking process ended with ${String(code)}`);
    });
    const [report] = (await Promise.race([once(this.#child, "message"), ended])) as [AttackReport];
    return report;
  }

  stop(): void {
    this.#child.kill();
  }

  #order(order: AttackOrder): void {
    this.#child.send(order);
  }
}
