// `npm run bench:replay`: a stored log to one socket, next to raw batched direct get of the same log in the same run.
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { connectNats, type NatsConnection } from "@bimip/nats";
import { encodeStanza, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { isMessage, markOf } from "./marked-message.js";
import { median } from "./percentiles.js";
import { cpuMicros, MemoryWatch } from "./process-stats.js";
import { fillLog, measureRawRead } from "./raw-log.js";
import { LiteSocket } from "./ws-lite.js";
import { runScript } from "../load/run-script.js";

const { values: args } = parseArgs({
  options: {
    messages: { type: "string", default: "10000" },
    payload: { type: "string", default: "50" },
    rounds: { type: "string", default: "7" },
    big: { type: "string", default: "200000" },
    "big-payload": { type: "string", default: "500" },
    json: { type: "string", default: "bench-results/replay.json" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run bench:replay -- [options]
  --messages N     entries of the log that is replayed to one socket (10000)
  --payload N      bytes of text of each (50)
  --rounds N       after two that do not count; medians are printed (7)
  --big N          entries of a long log, replayed for the gateway's memory; 0 = leave out (200000)
  --big-payload N  bytes of text of each (500)
  --json FILE      where the figures go (bench-results/replay.json)`;

const PARTITIONS = 4;
const GOAL_PER_SECOND = 40_000;
const WARM_UPS = 2;
/** A long log must not be held: of its bytes, so many percent at most. */
const MAX_SHARE_HELD = 25;
const DEADLINE_MS = 10 * 60_000;

interface Replay {
  /** From the first frame to the last. */
  readonly perSecond: number;
  /** From RESUME's sending to the first frame, milliseconds. */
  readonly firstMs: number;
  /** CPU of the gateway for each message. */
  readonly gatewayMicros: number;
}

interface Round extends Replay {
  readonly rawPerSecond: number;
}

class ReplayBench {
  readonly #stack: Stack;
  readonly #nc: NatsConnection;
  readonly #port: number;
  #devices = 0;

  constructor(stack: Stack, nc: NatsConnection) {
    this.#stack = stack;
    this.#nc = nc;
    this.#port = Number(new URL(stack.httpUrl).port);
  }

  async speed(): Promise<Round[]> {
    const log = { eid: "replay@bench", partitions: PARTITIONS, count: Number(args.messages) };
    await fillLog(this.#nc, { ...log, payloadBytes: Number(args.payload) });
    const rounds: Round[] = [];
    for (let round = 1 - WARM_UPS; round <= Number(args.rounds); round++) {
      const rawPerSecond = await measureRawRead(this.#nc, log);
      const replay = await this.#replay(log.eid, log.count);
      if (round > 0) rounds.push({ ...replay, rawPerSecond });
    }
    return rounds;
  }

  async memory(): Promise<{ logBytes: number; startBytes: number; maxBytes: number; perSecond: number }> {
    const log = { eid: "long@bench", partitions: PARTITIONS, count: Number(args.big) };
    const logBytes = await fillLog(this.#nc, { ...log, payloadBytes: Number(args["big-payload"]) });
    const memory = new MemoryWatch(this.#stack.process("gateway").pid);
    const { perSecond } = await this.#replay(log.eid, log.count);
    const { start: startBytes, max: maxBytes } = memory.read();
    memory.stop();
    return { logBytes, startBytes, maxBytes, perSecond };
  }

  /** A new device asks for everything. @throws Error for anything but 0, 1, 2 … */
  async #replay(eid: string, count: number): Promise<Replay> {
    const device = `device-${++this.#devices}`;
    const token = await issueToken({ secret: this.#stack.secret, eid, device });
    const { pid } = this.#stack.process("gateway");
    let [next, firstMs, lastMs] = [0, 0, 0];
    let finish: (problem?: string) => void;
    const done = new Promise<void>((resolve, reject) => {
      finish = (problem) => (problem === undefined ? resolve() : reject(new Error(problem)));
    });
    const onFrame = (frame: Buffer): void => {
      if (!isMessage(frame)) return;
      if (next === 0) firstMs = performance.now();
      const number = markOf(frame);
      if (number !== next) finish(`message ${number} came instead of ${next}`);
      if (++next < count) return;
      lastMs = performance.now();
      finish();
    };
    const socket = await LiteSocket.open(this.#port, token, { query: "?resume=manual", onFrame });
    const resume = { type: SignalType.REQUEST, status: SignalStatus.RESUME, monotonicId: -1n };
    const startedMs = performance.now();
    const cpu = cpuMicros(pid);
    socket.send(encodeStanza("signal", create(SignalSchema, resume)));
    await done;
    const gatewayMicros = (cpuMicros(pid) - cpu) / count;
    socket.close();
    return { perSecond: (count * 1_000) / (lastMs - firstMs), firstMs: firstMs - startedMs, gatewayMicros };
  }
}

async function main(): Promise<boolean> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-replay-"));
  const env = { ...process.env, BIMIP_LOG_LEVEL: "warn", BIMIP_LOG_PARTITIONS: String(PARTITIONS) };
  const stack = await startStack({ dataDir, env, port: 0 });
  const link = await connectNats({ ...stack.natsAccess, name: "bench replay" });
  try {
    const bench = new ReplayBench(stack, link.nc);
    const rounds = await bench.speed();
    const long = Number(args.big) > 0 ? await bench.memory() : undefined;
    return show(rounds, long);
  } finally {
    await link.nc.close();
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function show(rounds: readonly Round[], long: Awaited<ReturnType<ReplayBench["memory"]>> | undefined): boolean {
  const middle = (pick: (round: Round) => number): number => median(rounds.map(pick));
  const perSecond = middle((round) => round.perSecond);
  const rawPerSecond = middle((round) => round.rawPerSecond);
  const share = middle((round) => round.perSecond / round.rawPerSecond);
  process.stdout.write(
    [
      `replay of ${args.messages} messages of ${args.payload} B to one socket, median of ${rounds.length} rounds`,
      `  messages/s            ${perSecond.toFixed(0)} (${rounds.map((round) => round.perSecond.toFixed(0)).join(", ")})`,
      `  raw batched get       ${rawPerSecond.toFixed(0)} messages/s; share ${(share * 100).toFixed(1)} %`,
      `  first frame after     ${middle((round) => round.firstMs).toFixed(1)} ms`,
      `  gateway CPU           ${middle((round) => round.gatewayMicros).toFixed(1)} µs per message`,
      `  goal ${GOAL_PER_SECOND} messages/s: ${perSecond >= GOAL_PER_SECOND ? "reached" : "NOT reached"}\n`,
    ].join("\n"),
  );
  let bounded = true;
  if (long !== undefined) {
    const mb = (bytes: number): string => (bytes / 1_048_576).toFixed(1);
    const grown = long.maxBytes - long.startBytes;
    bounded = grown * 100 < long.logBytes * MAX_SHARE_HELD;
    process.stdout.write(
      [
        `\nreplay of ${args.big} messages of ${args["big-payload"]} B, ${mb(long.logBytes)} MB, to one socket`,
        `  messages/s            ${long.perSecond.toFixed(0)}`,
        `  gateway RSS           ${mb(long.startBytes)} MB before, ${mb(long.maxBytes)} MB at most: ` +
          `+${mb(grown)} MB, ${bounded ? "bounded" : "NOT bounded"}\n`,
      ].join("\n"),
    );
  }
  mkdirSync(join(args.json, ".."), { recursive: true });
  writeFileSync(args.json, `${JSON.stringify({ at: new Date().toISOString(), args, rounds, long }, null, 2)}\n`);
  process.stdout.write(`figures: ${args.json}\n`);
  return bounded;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
