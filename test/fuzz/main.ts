// `npm run fuzz`: mutated frames, cut connections and slow handshakes against a stack of its own; what becomes of it?
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runScript } from "../load/run-script.js";
import { table } from "../load/table.js";
import { type FuzzReport, runFuzz } from "./fuzz-run.js";

const { values: args } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    frames: { type: "string", default: "1000000" },
    sessions: { type: "string", default: "50" },
    rate: { type: "string", default: "1000" },
    limits: { type: "boolean", default: false },
    "cut-every": { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run fuzz -- [options]
  --seed N       the same seed makes the same frames (1)
  --frames N     mutated frames of all sessions together (1000000)
  --sessions N   sockets that send them (50)
  --rate N       frames a second at most; the neighbours' latency is judged while two cores are not full (1000)
  --limits       with the limits of rate and abuse as they are by default; off otherwise, so that every frame is looked at
  --cut-every N  of the bytes at which a conversation can break off, one in so many (1)`;

const MEGABYTE = 1_048_576;
const MAX_GROWTH = 1.05;
const MAX_RATIO = 2;
const SLOW = 20;
const BASELINE_MS = 10_000;
const SETTLE_MS = 3_000;
const DEADLINE_MS = 60 * 60_000;

async function main(): Promise<boolean> {
  const report = await runFuzz({
    seed: Number(args.seed),
    frames: Number(args.frames),
    sessions: Number(args.sessions),
    framesPerSecond: Number(args.rate),
    limits: args.limits,
    cutEvery: Number(args["cut-every"]),
    slowHandshakes: SLOW,
    baselineMs: BASELINE_MS,
    settleMs: SETTLE_MS,
    memory: true,
    progress: (line) => process.stderr.write(`${line}\n`),
  });
  return show(report);
}

const told = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");

function show(report: FuzzReport): boolean {
  const { attack, neighbours, memory } = report;
  const mb = (bytes: number): string => (bytes / MEGABYTE).toFixed(1);
  const percent = (from: number, to: number): string => `${(((to - from) / from) * 100).toFixed(1)} %`;
  process.stdout.write(`
seed ${args.seed}: ${attack.frames} frames in ${report.seconds.toFixed(0)} s (${(attack.frames / report.seconds).toFixed(0)} a second), ${attack.connects} connects
answered with   ${told(attack.errors)}
connections     ${told(attack.ends)}
WebSocket       ${told(attack.oddities)}
cut             ${told(attack.cuts)}
got through     ${told(report.came)} to one receiver, all well formed and in order, unless told below
slow handshakes ${report.slow.ended} ended by the server, after ${(report.slow.longestMs / 1_000).toFixed(0)} s at most, ${report.slow.open} still open

`);
  process.stdout.write(
    table(
      ["neighbours", "messages", "p50 ms", "p95 ms", "p99 ms"],
      Object.entries(neighbours).map(([name, { count, p50, p95, p99 }]) => [
        name,
        count,
        ...[p50, p95, p99].map((ms) => ms.toFixed(2)),
      ]),
    ),
  );
  process.stdout.write(
    `\n${table(
      ["memory MB", "heap warm", "end", "growth", "buffers warm", "end", "resident warm", "end", "growth"],
      memory.map(({ name, warm, end }) => [
        name,
        mb(warm.heap),
        mb(end.heap),
        percent(warm.heap, end.heap),
        mb(warm.external),
        mb(end.external),
        mb(warm.resident),
        mb(end.resident),
        percent(warm.resident, end.resident),
      ]),
    )}`,
  );
  const ratio = neighbours.during.p99 / Math.max(neighbours.before.p99, neighbours.after.p99);
  const stable = memory.every(
    ({ warm, end }) => end.heap <= warm.heap * MAX_GROWTH && end.resident <= warm.resident * MAX_GROWTH,
  );
  const problems = [...report.crashes, ...report.badLines, ...report.problems];
  for (const problem of problems) process.stdout.write(`\n! ${problem}`);
  if (report.last.length > 0) {
    const file = join(tmpdir(), `bimip-fuzz-${args.seed}.json`);
    writeFileSync(file, JSON.stringify(report.last, null, 2));
    process.stdout.write(`\nwhat each session sent last is in ${file}; --seed ${args.seed} sends it again\n`);
  }
  const good = problems.length === 0 && report.lost === 0 && stable && ratio <= MAX_RATIO;
  process.stdout.write(
    `\nprocesses ended ${report.crashes.length}, errors in their logs ${report.badLines.length}, other problems ${report.problems.length}, ` +
      `memory ${stable ? "stable" : "NOT stable"} (within 5 %), neighbours' p99 ${ratio.toFixed(2)} times their baseline (<= ${MAX_RATIO}), ` +
      `their lost messages ${report.lost}, longest turn of the gateway ${report.maxLagMs.toFixed(0)} ms: ${good ? "good" : "FAILED"}\n`,
  );
  return good;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
