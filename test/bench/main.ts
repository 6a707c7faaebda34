// `npm run bench`: the message path under load, and beside it, in the same run, what raw JetStream gives.
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { measureCeiling } from "./ceiling.js";
import type { IdleOrder, LoadOrder, LoadResult } from "./generator.js";
import { median } from "./percentiles.js";
import { cpuMicros, residentBytes } from "./process-stats.js";

const { values: args } = parseArgs({
  options: {
    pairs: { type: "string", default: "100" },
    windows: { type: "string", default: "1,16" },
    payload: { type: "string", default: "50" },
    seconds: { type: "string", default: "8" },
    rounds: { type: "string", default: "3" },
    idle: { type: "string", default: "10000" },
    json: { type: "string", default: "bench-results/latest.json" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run bench -- [options]
  --pairs N      pairs of users, one sends to the other (100)
  --windows A,B  unconfirmed messages a sender keeps under way, one run each (1,16)
  --payload N    bytes of text (50)
  --seconds N    measured, after 2 s of warm-up (8)
  --rounds N     rounds; medians are printed (3)
  --idle N       idle connections for the memory figure; 0 = leave out (10000)
  --json FILE    where the figures go (bench-results/latest.json)`;

interface Run extends LoadResult {
  readonly window: number;
  readonly cpuPerMessage: Record<string, number>;
  readonly ceiling: number;
}

const WARMUP_MS = 2_000;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  if (args.help) return void process.stdout.write(`${HELP}\n`);
  const pairs = Number(args.pairs);
  const windows = args.windows.split(",").map(Number);
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-bench-"));
  say("starting the stack …");
  const stack = await startStack({ dataDir, env: { ...process.env, BIMIP_LOG_LEVEL: "warn" }, port: 0 });
  try {
    const runs: Run[] = [];
    for (let round = 1; round <= Number(args.rounds); round++) {
      for (const window of windows) runs.push(await measureRound(stack, { pairs, window, round }));
    }
    const idle = Number(args.idle) > 0 ? await measureIdle(stack, Number(args.idle)) : undefined;
    report(runs, windows, idle);
  } finally {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function measureRound(
  stack: Stack,
  { pairs, window, round }: { pairs: number; window: number; round: number },
): Promise<Run> {
  const label = `round ${round}, window ${window}`;
  const payloadBytes = Number(args.payload);
  say(`${label}: ceiling …`);
  const ceiling = await measureCeiling(stack.natsAccess, {
    inFlight: pairs * window,
    payloadBytes,
    subjects: pairs,
    seconds: 3,
  });
  say(`${label}: ceiling ${ceiling.toFixed(0)}/s; load …`);
  const order: LoadOrder = {
    port: Number(new URL(stack.httpUrl).port),
    pairs: await Promise.all(
      Array.from({ length: pairs }, async (_, n) => ({
        senderToken: await token(stack, `s${round}-${window}-${n}@bench`),
        receiverToken: await token(stack, `r${round}-${window}-${n}@bench`),
        to: `r${round}-${window}-${n}@bench`,
      })),
    ),
    window,
    payloadBytes,
    warmupMs: WARMUP_MS,
    measureMs: Number(args.seconds) * 1_000,
  };
  const before = new Map<string, number>();
  const spent: Record<string, number> = {};
  const generator = startGenerator();
  const result = await new Promise<LoadResult>((resolve, reject) => {
    generator.on(
      "message",
      (message: { measuring?: true; measured?: true; progress?: number; result?: LoadResult; error?: string }) => {
        if (message.measuring) for (const { name, pid } of stack.processes()) before.set(name, cpuMicros(pid));
        if (message.measured)
          for (const { name, pid } of stack.processes()) spent[name] = cpuMicros(pid) - (before.get(name) ?? 0);
        if (message.progress !== undefined) say(`${label}: ${message.progress} delivered`);
        if (message.error !== undefined) reject(new Error(message.error));
        if (message.result) resolve(message.result);
      },
    );
    generator.once("exit", (code) => reject(new Error(`generator exited with ${code}`)));
    generator.send({ load: order });
  });
  generator.removeAllListeners("exit");
  generator.kill();
  const cpuPerMessage = Object.fromEntries(
    Object.entries(spent).map(([name, micros]) => [name, micros / result.delivered]),
  );
  return { ...result, window, cpuPerMessage, ceiling };
}

/** Memory of the gateway per connection that does nothing, after a warm-up of a tenth of them. */
async function measureIdle(
  stack: Stack,
  connections: number,
): Promise<{ connections: number; bytesPerConnection: number; connectSeconds: number }> {
  say(`idle: ${connections} connections …`);
  const port = Number(new URL(stack.httpUrl).port);
  const gateway = stack.processes().find(({ name }) => name.startsWith("gateway"));
  if (gateway === undefined) throw new Error("no gateway");
  const tokens = await Promise.all(Array.from({ length: connections }, (_, n) => token(stack, `idle${n}@bench`)));
  const before = residentBytes(gateway.pid);
  const started = performance.now();
  const generator = startGenerator();
  await new Promise<void>((resolve, reject) => {
    generator.on("message", (message: { idle?: true; error?: string }) =>
      message.error ? reject(new Error(message.error)) : resolve(),
    );
    generator.once("exit", (code) => reject(new Error(`generator exited with ${code}`)));
    generator.send({ idle: { port, tokens } satisfies IdleOrder });
  });
  const connectSeconds = (performance.now() - started) / 1_000;
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  const bytesPerConnection = (residentBytes(gateway.pid) - before) / connections;
  generator.removeAllListeners("exit");
  generator.kill();
  return { connections, bytesPerConnection, connectSeconds };
}

function startGenerator(): ChildProcess {
  return fork(new URL("./generator.ts", import.meta.url), { execArgv: ["--conditions=bimip-src", "--import", "tsx"] });
}

function token(stack: Stack, eid: string): Promise<string> {
  return issueToken({ secret: stack.secret, eid, device: "bench" });
}

function report(
  runs: readonly Run[],
  windows: readonly number[],
  idle: Awaited<ReturnType<typeof measureIdle>> | undefined,
): void {
  const summary = windows.map((window) => {
    const of = runs.filter((run) => run.window === window);
    const middle = (pick: (run: Run) => number): number => median(of.map(pick));
    const names = Object.keys(of[0]?.cpuPerMessage ?? {});
    const cpu: Record<string, number> = {};
    for (const name of names) cpu[name] = middle((run) => run.cpuPerMessage[name] ?? 0);
    cpu["sum"] = middle((run) => Object.values(run.cpuPerMessage).reduce((a, b) => a + b, 0));
    return {
      window,
      rounds: of.length,
      storedPerSecond: middle((run) => run.stored / run.seconds),
      deliveredPerSecond: middle((run) => run.delivered / run.seconds),
      ceilingPerSecond: middle((run) => run.ceiling),
      shareOfCeiling: middle((run) => run.delivered / run.seconds / run.ceiling),
      endToEndMs: {
        p50: middle((r) => r.endToEndMs.p50),
        p95: middle((r) => r.endToEndMs.p95),
        p99: middle((r) => r.endToEndMs.p99),
      },
      sentMs: { p50: middle((r) => r.sentMs.p50), p95: middle((r) => r.sentMs.p95), p99: middle((r) => r.sentMs.p99) },
      cpuMicrosPerMessage: cpu,
      generatorMicrosPerMessage: middle((run) => run.generatorCpuMicros / run.delivered),
      lost: of.reduce((sum, run) => sum + run.lost, 0),
      repeated: of.reduce((sum, run) => sum + run.repeated, 0),
      reordered: of.reduce((sum, run) => sum + run.reordered, 0),
      errors: of.reduce((sum, run) => sum + run.errors, 0),
    };
  });
  const ms = (p: { p50: number; p95: number; p99: number }): string =>
    [p.p50, p.p95, p.p99].map((v) => v.toFixed(1)).join(" / ");
  for (const row of summary) {
    const cpu = Object.entries(row.cpuMicrosPerMessage).map(([name, micros]) => `${name} ${micros.toFixed(1)}`);
    process.stdout.write(
      [
        `\nwindow ${row.window}, ${args.pairs} pairs, ${args.payload} B, median of ${row.rounds} rounds`,
        `  stored / delivered      ${row.storedPerSecond.toFixed(0)} / ${row.deliveredPerSecond.toFixed(0)} messages/s`,
        `  raw JetStream ceiling   ${row.ceilingPerSecond.toFixed(0)} messages/s; share ${(row.shareOfCeiling * 100).toFixed(1)} %`,
        `  end to end p50/p95/p99  ${ms(row.endToEndMs)} ms`,
        `  SENT p50/p95/p99        ${ms(row.sentMs)} ms`,
        `  CPU µs per message      ${cpu.join(", ")} (generator ${row.generatorMicrosPerMessage.toFixed(1)})`,
        `  lost ${row.lost}, repeated ${row.repeated}, reordered ${row.reordered}, errors ${row.errors}\n`,
      ].join("\n"),
    );
  }
  if (idle) {
    process.stdout.write(
      `\nidle: ${idle.connections} connections in ${idle.connectSeconds.toFixed(1)} s, ${(idle.bytesPerConnection / 1_024).toFixed(1)} KiB of gateway memory each\n`,
    );
  }
  mkdirSync(join(args.json, ".."), { recursive: true });
  writeFileSync(args.json, `${JSON.stringify({ at: new Date().toISOString(), args, summary, runs, idle }, null, 2)}\n`);
  process.stdout.write(`figures: ${args.json}\n`);
}

await main();
