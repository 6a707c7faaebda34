// `npm run bench:presence`: how long until all contacts of a user see a new status, next to raw socket sends and raw NATS
// publishes of the same number, in the same run, with the same clients.
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { median, percentiles } from "./percentiles.js";
import type { Member, PresenceOrder, Way } from "./presence-generator.js";
import { threadMicros } from "./process-stats.js";
import { runScript } from "../load/run-script.js";

const { values: args } = parseArgs({
  options: {
    contacts: { type: "string", default: "500" },
    rounds: { type: "string", default: "5" },
    flips: { type: "string", default: "8" },
    pause: { type: "string", default: "50" },
    json: { type: "string", default: "bench-results/presence.json" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run bench:presence -- [options]
  --contacts N  online mutual contacts of the user who changes status (500)
  --rounds N    after one that does not count; each of the three ways in turn (5)
  --flips N     changes of status in each round (8)
  --pause N     milliseconds between two (50: awareness takes its time beyond BIMIP_AWARENESS_CONTACTS_PER_SECOND)
  --json FILE   where the figures go (bench-results/presence.json)`;

const MAX_RATIO = 1.7;
const DEADLINE_MS = 10 * 60_000;
const WAYS: readonly Way[] = ["bimip", "sockets", "nats"];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Of one way in one round. */
interface Measured {
  readonly milliseconds: readonly number[];
  /** CPU by process, each microseconds for one update that was delivered; what the processes use idle taken off. */
  readonly micros: Readonly<Record<string, number>>;
}

type Round = Readonly<Record<Way, Measured>>;

interface Answer {
  readonly done?: true;
  readonly milliseconds?: readonly number[];
  readonly port?: number;
  readonly error?: string;
}

/** Resolves with the process's next word. */
function hear(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`it ended with ${code}`));
    child.once("exit", onExit);
    child.once("message", (answer: Answer) => {
      child.off("exit", onExit);
      if (answer.error === undefined) resolve(answer);
      else reject(new Error(answer.error));
    });
  });
}

function ask(child: ChildProcess, order: PresenceOrder): Promise<Answer> {
  const answer = hear(child);
  child.send(order);
  return answer;
}

const start = (file: string): ChildProcess =>
  fork(new URL(file, import.meta.url), { execArgv: ["--conditions=bimip-src", "--import", "tsx"] });

class PresenceBench {
  readonly #stack: Stack;
  readonly #generator = start("./presence-generator.ts");
  readonly #raw = start("./raw-sockets.ts");
  readonly #contacts = Number(args.contacts);

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  async connect(): Promise<void> {
    const { port = 0 } = await hear(this.#raw);
    const count = this.#contacts;
    const names = Array.from({ length: count }, (_, at) => `contact${at}@bench`);
    const contacts = await Promise.all(names.map((eid) => this.#member(eid)));
    const gateway = Number(new URL(this.#stack.httpUrl).port);
    const author = await this.#member("author@bench");
    await ask(this.#generator, { do: "connect", port: gateway, author, contacts });
    await ask(this.#generator, { do: "connect raw", port, count });
    await ask(this.#generator, { do: "connect nats", nats: this.#stack.natsAccess, count });
  }

  async round(): Promise<Round> {
    const measured: Partial<Record<Way, Measured>> = {};
    for (const way of WAYS) measured[way] = await this.#measure(way);
    return measured as Round;
  }

  async #measure(way: Way): Promise<Measured> {
    const pids = this.#pids(way);
    const times = Number(args.flips);
    const startedMs = performance.now();
    const before = used(pids);
    const { milliseconds = [] } = await ask(this.#generator, { do: "flip", way, times, pauseMs: Number(args.pause) });
    const between = used(pids);
    await delay(performance.now() - startedMs);
    const after = used(pids);
    const micros: Record<string, number> = {};
    for (const name of pids.keys()) {
      const busy = (between.get(name) ?? 0) - (before.get(name) ?? 0);
      const idle = (after.get(name) ?? 0) - (between.get(name) ?? 0);
      micros[name] = (busy - idle) / (times * this.#contacts);
    }
    return { milliseconds, micros };
  }

  stop(): void {
    for (const child of [this.#generator, this.#raw]) {
      child.removeAllListeners("exit");
      child.kill();
    }
  }

  /** The processes on the servers' side. */
  #pids(way: Way): Map<string, number> {
    if (way === "sockets") return new Map([["raw sockets", this.#raw.pid ?? 0]]);
    const all = this.#stack.processes().filter(({ name }) => way === "bimip" || name === "nats-server");
    return new Map(all.map(({ name, pid }) => [name, pid]));
  }

  async #member(eid: string): Promise<Member> {
    return { eid, token: await issueToken({ secret: this.#stack.secret, eid, device: "bench" }) };
  }
}

function used(pids: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...pids].map(([name, pid]) => [name, threadMicros(pid)]));
}

function show(rounds: readonly Round[]): void {
  const all = (way: Way): number[] => rounds.flatMap((round) => [...round[way].milliseconds]);
  const ms = (way: Way): string => `${median(all(way)).toFixed(2)} ms (p95 ${percentiles(all(way)).p95.toFixed(2)})`;
  const ratio = (way: Way): number =>
    median(rounds.map((round) => median(round.bimip.milliseconds) / median(round[way].milliseconds)));
  const names = Object.keys(rounds[0]?.bimip.micros ?? {});
  const cpu = (way: Way, name: string): number => median(rounds.map((round) => round[way].micros[name] ?? 0));
  const sum = names.reduce((total, name) => total + cpu("bimip", name), 0);
  const toSockets = ratio("sockets");
  process.stdout.write(
    [
      `one change of status to ${args.contacts} contacts, until the last has it; medians of ${rounds.length} rounds of ${args.flips}`,
      `  BIMIP              ${ms("bimip")}`,
      `  raw socket sends   ${ms("sockets")}; BIMIP takes ${toSockets.toFixed(2)} times as long`,
      `  raw NATS publishes ${ms("nats")}; BIMIP takes ${ratio("nats").toFixed(2)} times as long`,
      `  CPU µs per update  ${sum.toFixed(2)} (${names.map((name) => `${name} ${cpu("bimip", name).toFixed(2)}`).join(", ")})`,
      `                     raw sockets ${cpu("sockets", "raw sockets").toFixed(2)}, raw NATS ${cpu("nats", "nats-server").toFixed(2)} (nats-server alone)`,
      `  goal ${MAX_RATIO} times raw socket sends: ${toSockets <= MAX_RATIO ? "reached" : "NOT reached"}\n`,
    ].join("\n"),
  );
  mkdirSync(join(args.json, ".."), { recursive: true });
  writeFileSync(args.json, `${JSON.stringify({ at: new Date().toISOString(), args, toSockets, rounds }, null, 2)}\n`);
  process.stdout.write(`figures: ${args.json}\n`);
}

async function main(): Promise<boolean> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-presence-"));
  const stack = await startStack({ dataDir, env: { ...process.env, BIMIP_LOG_LEVEL: "warn" }, port: 0 });
  const bench = new PresenceBench(stack);
  try {
    say(`${args.contacts} contacts …`);
    await bench.connect();
    await bench.round();
    const rounds: Round[] = [];
    for (let round = 1; round <= Number(args.rounds); round++) {
      say(`round ${round} of ${args.rounds} …`);
      rounds.push(await bench.round());
    }
    show(rounds);
    return true;
  } finally {
    bench.stop();
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
