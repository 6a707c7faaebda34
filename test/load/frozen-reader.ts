// `npm run frozen-reader`: one device stops reading while a flood goes to it; what does that cost the gateway and others?
import { setTimeout as delay } from "node:timers/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { median, type Percentiles } from "../bench/percentiles.js";
import { MemoryWatch } from "../bench/process-stats.js";
import { flood, FloodReader } from "./flood.js";
import { SteadyTraffic } from "./steady-traffic.js";
import { table } from "./table.js";
import { runScript } from "./run-script.js";

const { values: args } = parseArgs({
  options: {
    messages: { type: "string", default: "50000" },
    payload: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    rate: { type: "string", default: "4000" },
    others: { type: "string", default: "200" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run frozen-reader -- [options]
  --messages N  to the user whose device does not read (50000)
  --payload N   bytes of text of each (1024)
  --rounds N    each with a reading and with a frozen device; medians count for latencies, the worst for memory (3)
  --rate N      messages a second to that user at most (4000)
  --others N    messages a second of twenty other pairs (200)`;

const PAIRS = 20;
const WARM_UPS = 2;
const MAX_GROWTH_MB = 20;
const MAX_RATIO = 1.5;
const WAKE_MS = 60_000;
const DEADLINE_MS = 15 * 60_000;
const MEGABYTE = 1_048_576;

interface Phase {
  readonly label: string;
  readonly seconds: number;
  readonly others: Percentiles & { readonly count: number };
  readonly memory: { readonly start: number; readonly max: number; readonly now: number };
}

interface Woken {
  readonly seconds: number;
  readonly count: number;
  readonly wrong: number;
  readonly reconnected: boolean;
  readonly maxBytes: number;
}

class FrozenReaderRun {
  readonly #stack: Stack;
  readonly #port: number;
  readonly #memory: MemoryWatch;
  readonly #traffic: SteadyTraffic;
  readonly #count = Number(args.messages);

  private constructor(stack: Stack, traffic: SteadyTraffic, port: number) {
    this.#stack = stack;
    this.#traffic = traffic;
    this.#port = port;
    this.#memory = new MemoryWatch(stack.process("gateway").pid);
  }

  static async start(stack: Stack): Promise<FrozenReaderRun> {
    const port = Number(new URL(stack.httpUrl).port);
    const pairs = await Promise.all(
      Array.from({ length: PAIRS }, async (_, n) => ({
        senderToken: await token(stack, `other-a${n}@load`, "no-copy"),
        receiverToken: await token(stack, `other-b${n}@load`),
        to: `other-b${n}@load`,
      })),
    );
    const traffic = await SteadyTraffic.open({ port, pairs, perSecond: Number(args.others) });
    traffic.start();
    return new FrozenReaderRun(stack, traffic, port);
  }

  /** A flood to a device that reads. */
  async reading(label: string): Promise<Phase> {
    const [reader, phase] = await this.#flood(label, `${label}@load`, false);
    await until(`${label}: all read`, () => reader.count + reader.wrong >= this.#count);
    reader.close();
    if (reader.wrong > 0) throw new Error(`${label}: ${reader.wrong} out of order`);
    return phase;
  }

  /** A flood to a device that does not; then it wakes. */
  async frozen(label: string): Promise<Phase & { woken: Woken }> {
    const [reader, phase] = await this.#flood(label, `${label}@load`, true);
    const before = reader.count;
    if (before >= this.#count / 2) throw new Error(`${label}: the device read ${before}, it is not frozen`);
    this.#memory.restart();
    const startedMs = performance.now();
    reader.wake();
    let reconnected = false;
    await until(`${label}: all read after waking`, async () => {
      if (reader.closed) {
        reconnected = true;
        await reader.connect();
      }
      return reader.count + reader.wrong >= this.#count;
    });
    const seconds = (performance.now() - startedMs) / 1_000;
    const { count, wrong } = reader;
    reader.close();
    return { ...phase, woken: { seconds, count, wrong, reconnected, maxBytes: this.#memory.read().max } };
  }

  async #flood(label: string, eid: string, frozen: boolean): Promise<[FloodReader, Phase]> {
    const reader = new FloodReader(this.#port, await token(this.#stack, eid));
    await reader.connect();
    if (frozen) reader.freeze();
    await delay(1_000);
    const sender = await token(this.#stack, `flood-${eid}`, "no-copy");
    this.#memory.restart();
    this.#traffic.take();
    const startedMs = performance.now();
    await flood({
      port: this.#port,
      token: sender,
      to: eid,
      count: this.#count,
      payloadBytes: Number(args.payload),
      perSecond: Number(args.rate),
      window: 256,
    });
    const seconds = (performance.now() - startedMs) / 1_000;
    return [reader, { label, seconds, others: this.#traffic.take(), memory: this.#memory.read() }];
  }

  /** Others' messages that never came. */
  async stop(): Promise<number> {
    this.#traffic.stop();
    for (let tries = 0; tries < 100 && this.#traffic.underWay > 0; tries++) await delay(50);
    this.#traffic.close();
    this.#memory.stop();
    return this.#traffic.underWay;
  }
}

async function main(): Promise<boolean> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-frozen-"));
  const stack = await startStack({ dataDir, env: { ...process.env, BIMIP_LOG_LEVEL: "warn" }, port: 0 });
  try {
    const run = await FrozenReaderRun.start(stack);
    process.stderr.write("warm-up …\n");
    // V8 takes what it likes at first, whatever it has to do.
    for (let n = 1; n <= WARM_UPS; n++) {
      await run.reading(`warm-up-reading-${n}`);
      await run.frozen(`warm-up-frozen-${n}`);
    }
    const [reading, frozen]: [Phase[], (Phase & { woken: Woken })[]] = [[], []];
    for (let round = 1; round <= Number(args.rounds); round++) {
      process.stderr.write(`round ${round} …\n`);
      // In turn one or the other is first, so that neither gains by its place.
      if (round % 2 === 1) reading.push(await run.reading(`reading-${round}`));
      frozen.push(await run.frozen(`frozen-${round}`));
      if (round % 2 === 0) reading.push(await run.reading(`reading-${round}`));
    }
    return show({ reading, frozen, lost: await run.stop() });
  } finally {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function show(run: { reading: Phase[]; frozen: (Phase & { woken: Woken })[]; lost: number }): boolean {
  const { reading, frozen, lost } = run;
  const mb = (bytes: number): string => (bytes / MEGABYTE).toFixed(1);
  const row = (phase: Phase): (string | number)[] => [
    phase.label,
    (Number(args.messages) / phase.seconds).toFixed(0),
    ...[phase.others.p50, phase.others.p95, phase.others.p99].map((ms) => ms.toFixed(1)),
    mb(phase.memory.start),
    mb(phase.memory.max),
    mb(phase.memory.max - phase.memory.start),
  ];
  const head = ["flood to one device", "msgs/s", "others p50 ms", "p95", "p99", "RSS MB before", "most", "growth"];
  process.stdout.write(table(head, [...reading, ...frozen].map(row)));
  process.stdout.write(
    `\n${table(
      ["woken", "in order", "wrong", "seconds", "msgs/s", "RSS MB most", "reconnected"],
      frozen.map(({ label, woken }) => [
        label,
        woken.count,
        woken.wrong,
        woken.seconds.toFixed(2),
        (woken.count / woken.seconds).toFixed(0),
        mb(woken.maxBytes),
        woken.reconnected ? "yes" : "no",
      ]),
    )}`,
  );
  const p99 = (phases: Phase[]): number => median(phases.map(({ others }) => others.p99));
  const ratio = p99(frozen) / p99(reading);
  // The same flood to a device that reads is the measure: what V8 takes for the traffic itself is in both.
  const worstMb = Math.max(...frozen.map(({ memory }, at) => memory.max - (reading[at]?.memory.max ?? 0))) / MEGABYTE;
  const delivered = frozen.every(({ woken }) => woken.count === Number(args.messages) && woken.wrong === 0);
  const good = worstMb < MAX_GROWTH_MB && ratio <= MAX_RATIO && delivered && lost === 0;
  process.stdout.write(
    `\ngateway memory +${worstMb.toFixed(1)} MB by the frozen reader at worst (< ${MAX_GROWTH_MB}), others' p99 ${p99(reading).toFixed(1)} → ` +
      `${p99(frozen).toFixed(1)} ms, ratio ${ratio.toFixed(2)} (≤ ${MAX_RATIO}), all in order after waking: ` +
      `${delivered ? "yes" : "NO"}, others' lost ${lost}: ${good ? "good" : "FAILED"}\n`,
  );
  return good;
}

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAKE_MS;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`not in ${WAKE_MS} ms: ${what}`);
    await delay(5);
  }
}

function token(stack: Stack, eid: string, scope?: string): Promise<string> {
  return issueToken({ secret: stack.secret, eid, device: "load", ...(scope !== undefined && { scope }) });
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
