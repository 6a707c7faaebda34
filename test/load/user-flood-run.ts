import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { issueToken } from "@bimip/auth";
import type { Stack } from "@bimip/devstack";
import { median, type Percentiles, percentiles } from "../bench/percentiles.js";
import { cpuMicros } from "../bench/process-stats.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import type { FloodKind, FloodOrder, FloodReport } from "./flooder.js";
import { SteadyTraffic } from "./steady-traffic.js";

export interface UserFloodOptions {
  /** Pairs of users who write to each other steadily, and their messages a second together. */
  readonly pairs: number;
  readonly perSecond: number;
  /** Sessions of the flooder. */
  readonly sessions: number;
}

/** Frames a second of a flood: ten times what the defaults let a user send (BIMIP_RATE_MESSAGES_USER, BIMIP_RATE_OTHER_USER). */
const FLOOD_PER_SECOND: Record<FloodKind, number> = { small: 1_000, large: 1_000, garbage: 500 };
/** The bar after abuse, and some. */
const BACK_WITHIN_MS = 30_000;

/** What the others notice, in milliseconds end to end. */
export interface Others extends Percentiles {
  readonly count: number;
  /** Median of the p99 of each second: what else goes on upon the machine for a moment is not in it. */
  readonly usualP99: number;
  /** What the gateway has to do meanwhile, in parts of one processor. */
  readonly gatewayCpu: number;
}

/** Users who write to each other, and one who floods: what do the others notice? */
export class UserFlood {
  readonly #stack: Stack;
  readonly #traffic: SteadyTraffic;
  readonly #options: UserFloodOptions;
  readonly #flooder: ChildProcess;

  private constructor(stack: Stack, traffic: SteadyTraffic, options: UserFloodOptions) {
    this.#stack = stack;
    this.#traffic = traffic;
    this.#options = options;
    this.#flooder = fork(fileURLToPath(new URL("./flooder.ts", import.meta.url)), {
      execArgv: ["--conditions=bimip-src", "--import", "tsx"],
    });
  }

  static async start(stack: Stack, options: UserFloodOptions): Promise<UserFlood> {
    const port = Number(new URL(stack.httpUrl).port);
    const pairs = await Promise.all(
      Array.from({ length: options.pairs }, async (_, n) => ({
        senderToken: await token(stack, `steady-a${n}@load`, "d"),
        receiverToken: await token(stack, `steady-b${n}@load`, "d"),
        to: `steady-b${n}@load`,
      })),
    );
    const traffic = await SteadyTraffic.open({ port, pairs, perSecond: options.perSecond });
    traffic.start();
    return new UserFlood(stack, traffic, options);
  }

  /** Nobody floods. */
  async calm(ms: number): Promise<Others> {
    const [others] = await this.#watch(() => delay(ms));
    return others;
  }

  /** A user of that name does. */
  async flood(kind: FloodKind, eid: string, ms: number): Promise<{ others: Others; flooder: FloodReport }> {
    const names = Array.from({ length: this.#options.sessions }, (_, n) => `device-${n}`);
    const order: FloodOrder = {
      port: Number(new URL(this.#stack.httpUrl).port),
      kind,
      tokens: await Promise.all(names.map((device) => token(this.#stack, eid, device))),
      to: `to-${eid}`,
      perSecond: FLOOD_PER_SECOND[kind],
      ms,
    };
    const [others, flooder] = await this.#watch(() => this.#run(order));
    return { others, flooder };
  }

  /** The flooder comes back as anybody else, and is taken for that. Resolves with how long it took, in milliseconds. */
  async comesBack(eid: string): Promise<number> {
    const startedMs = performance.now();
    const url = this.#stack.httpUrl.replace(/^http/, "ws");
    const opened = await eventually(
      `${eid} is let in again`,
      async () => Device.open(`${url}/v1/ws`, { token: await token(this.#stack, eid, "device-0") }),
      BACK_WITHIN_MS,
    );
    await eventually(`${eid} may send again`, async () => {
      const id = `back-${Math.random()}`;
      opened.message({ id, to: { eid: "somebody@load" } });
      const answer = await eventually("an answer", () => {
        const isSent = opened.of("signal").some((signal) => signal.id === id);
        return isSent ? "sent" : opened.of("error").find((error) => error.id === id);
      });
      return answer === "sent";
    });
    await opened.close();
    return performance.now() - startedMs;
  }

  /** Resolves with the others' messages that never came. */
  async stop(): Promise<number> {
    this.#flooder.kill();
    this.#traffic.stop();
    for (let tries = 0; tries < 100 && this.#traffic.underWay > 0; tries++) await delay(50);
    this.#traffic.close();
    return this.#traffic.underWay;
  }

  async #watch<T>(work: () => Promise<T>): Promise<[Others, T]> {
    const { pid } = this.#stack.process("gateway");
    const [startedMs, cpu] = [performance.now(), cpuMicros(pid)];
    this.#traffic.takeAll();
    const seconds: (readonly number[])[] = [];
    const timer = setInterval(() => seconds.push(this.#traffic.takeAll()), 1_000);
    const result = await work().finally(() => clearInterval(timer));
    const gatewayCpu = (cpuMicros(pid) - cpu) / 1_000 / (performance.now() - startedMs);
    const usualP99 = median(seconds.map((times) => percentiles(times).p99));
    const all = [...seconds.flat(), ...this.#traffic.takeAll()];
    return [{ ...percentiles(all), count: all.length, usualP99, gatewayCpu }, result];
  }

  #run(order: FloodOrder): Promise<FloodReport> {
    return new Promise((resolve, reject) => {
      const died = (code: number | null, signal: string | null): void =>
        reject(new Error(`the flooder's process ended: ${signal ?? `code ${code}`}`));
      const { exitCode, signalCode } = this.#flooder;
      if (exitCode !== null || signalCode !== null) return died(exitCode, signalCode);
      this.#flooder.once("exit", died);
      this.#flooder.once("message", ({ report, error }: { report?: FloodReport; error?: string }) => {
        this.#flooder.off("exit", died);
        if (report === undefined) reject(new Error(error));
        else resolve(report);
      });
      this.#flooder.send(order);
    });
  }
}

function token(stack: Stack, eid: string, device: string): Promise<string> {
  return issueToken({ secret: stack.secret, eid, device });
}
