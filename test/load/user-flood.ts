// `npm run user-flood`: one user floods with several sessions at ten times the limit; what do the others notice, and the flooder?
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Stack, startStack } from "@bimip/devstack";
import { median } from "../bench/percentiles.js";
import { defaultLimits } from "../kit/limits.js";
import type { FloodKind, FloodReport } from "./flooder.js";
import { runScript } from "./run-script.js";
import { table } from "./table.js";
import { type Others, UserFlood } from "./user-flood-run.js";

const { values: args } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    calm: { type: "string", default: "10" },
    rounds: { type: "string", default: "1" },
    pairs: { type: "string", default: "20" },
    others: { type: "string", default: "400" },
    sessions: { type: "string", default: "4" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run user-flood -- [options]
  --seconds N   of each flood (20)
  --calm N      seconds without one before and after (10)
  --rounds N    of small messages, large ones, garbage; medians count (1)
  --pairs N     of other users, who write to each other (20)
  --others N    messages a second of all of them (400)
  --sessions N  of the flooder (4)`;

const KINDS: readonly FloodKind[] = ["small", "large", "garbage"];
const MAX_RATIO = 2;
const DEADLINE_MS = 60 * 60_000;

/** With which limits: those of an installation; or the same, but nobody is closed, so that the flood never stops. */
const PROFILES = {
  defaults: {},
  "never closed": { BIMIP_ABUSE_REFUSALS: "0" },
} as const;

interface Flood {
  readonly kind: FloodKind;
  readonly others: Others;
  readonly flooder: FloodReport;
  /** Until it was taken for anybody else again. */
  readonly backMs: number;
}

interface Run {
  readonly profile: keyof typeof PROFILES;
  readonly calm: readonly Others[];
  readonly floods: readonly Flood[];
  readonly lost: number;
}

async function run(stack: Stack, profile: Run["profile"]): Promise<Run> {
  const { pairs, others, sessions } = args;
  const crowd = await UserFlood.start(stack, {
    pairs: Number(pairs),
    perSecond: Number(others),
    sessions: Number(sessions),
  });
  const calmMs = Number(args.calm) * 1_000;
  process.stderr.write(`${profile}: warm-up …\n`);
  await crowd.calm(calmMs / 2);
  await crowd.flood("small", "warm-up@load", calmMs / 2);
  const calm: Others[] = [];
  const floods: Flood[] = [];
  for (let round = 1; round <= Number(args.rounds); round++) {
    for (const kind of KINDS) {
      process.stderr.write(`${profile}: round ${round}, ${kind} …\n`);
      calm.push(await crowd.calm(calmMs));
      const eid = `flooder-${kind}-${round}@load`;
      const flood = await crowd.flood(kind, eid, Number(args.seconds) * 1_000);
      floods.push({ kind, ...flood, backMs: await crowd.comesBack(eid) });
    }
  }
  calm.push(await crowd.calm(calmMs));
  return { profile, calm, floods, lost: await crowd.stop() };
}

async function runProfile(profile: Run["profile"]): Promise<Run> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-user-flood-"));
  const env = { ...defaultLimits(), ...process.env, BIMIP_LOG_LEVEL: "error", ...PROFILES[profile] };
  const stack = await startStack({ dataDir, env, port: 0 });
  try {
    return await run(stack, profile);
  } finally {
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function main(): Promise<boolean> {
  let good = true;
  for (const profile of Object.keys(PROFILES) as Run["profile"][]) {
    good = show(await runProfile(profile)) && good;
  }
  process.stdout.write(`user-flood: ${good ? "good" : "FAILED"}\n`);
  return good;
}

function show({ profile, calm, floods, lost }: Run): boolean {
  const ms = (value: number): string => value.toFixed(1);
  const baseline = median(calm.map(({ p99 }) => p99));
  const timesOf = (label: string, { p50, p95, p99, usualP99, gatewayCpu }: Others): string[] => [
    label,
    ...[p50, p95, p99, usualP99].map(ms),
    gatewayCpu.toFixed(2),
  ];
  process.stdout.write(`\n${profile}: what the others notice, in ms\n`);
  process.stdout.write(
    table(
      ["", "p50", "p95", "p99", "p99 of a second", "gateway CPU"],
      [
        ...calm.map((phase, at) => timesOf(`calm ${at + 1}`, phase)),
        ...floods.map((flood) => timesOf(flood.kind, flood.others)),
      ],
    ),
  );
  process.stdout.write("\nwhat becomes of the flooder\n");
  process.stdout.write(
    table(
      [
        "",
        "frames",
        "stored",
        "429",
        "with time",
        "other errors",
        "connects",
        "4429",
        "refused connects",
        "back after s",
      ],
      floods.map(({ kind, flooder: one, backMs }) => [
        kind,
        one.frames,
        one.stored,
        one.tooFast,
        one.withTime,
        one.otherErrors,
        one.connects,
        one.closed,
        one.refusedConnects,
        (backMs / 1_000).toFixed(1),
      ]),
    ),
  );
  const ratios = KINDS.map((kind) => {
    const others = floods.filter((flood) => flood.kind === kind).map((flood) => flood.others);
    const of = (key: "p99" | "usualP99"): number =>
      median(others.map((phase) => phase[key])) / median(calm.map((phase) => phase[key]));
    return { kind, ratio: of("p99"), usual: of("usualP99") };
  });
  const closes = profile === "defaults";
  const isTold = floods.every(({ flooder: { tooFast, withTime } }) => tooFast > 0 && withTime === tooFast);
  const isClosed = floods.every(({ flooder: { closed } }) => closed > 0 === closes);
  const good = ratios.every(({ ratio }) => ratio <= MAX_RATIO) && isTold && isClosed && lost === 0;
  const text = ratios.map(({ kind, ratio, usual }) => `${kind} ${ratio.toFixed(2)} (${usual.toFixed(2)})`).join(", ");
  process.stdout.write(
    `\n${profile}: others' p99 ${ms(baseline)} ms, ratios, and in brackets those of the median second: ${text} (≤ ${MAX_RATIO}); each 429 with a time: ${isTold ? "yes" : "NO"}; ` +
      `4429: ${floods.reduce((sum, { flooder }) => sum + flooder.closed, 0)}; others' lost ${lost}: ${good ? "good" : "FAILED"}\n`,
  );
  return good;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
