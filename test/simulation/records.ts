import type { ResumeRequest } from "@bimip/protocol";
import { decodeReceipts } from "../../services/storage/src/receipts.js";
import { type DeviceState, decodeRecord } from "../../services/storage/src/user-record.js";
import type { Simulation } from "./simulation.js";
import type { Device } from "./device.js";
import { isDue, type TruthEntry } from "./truth.js";

interface Answered {
  readonly asked: number;
  readonly after: number;
  readonly atMs: number;
}

/** A gateway uses the ledger's answer for this part of the dedupe window; then the receipt takes its way to the log. */
const LEDGER_KEPT_PART = 1 / 8;
const ON_ITS_WAY_MS = 30_000;

/** What storage says and keeps, and what may never become of it. */
export class Records {
  readonly #simulation: Simulation;
  readonly #answers = new Map<string, Answered[]>();
  readonly #states = new Map<string, DeviceState>();
  /** When a receipt was first in the ledger. */
  readonly #receipts = new Map<string, number>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** Storage told a device where to go on. */
  answered({ eid, device, after }: ResumeRequest, goesOn: number): void {
    const { world } = this.#simulation;
    const asked = Number(after);
    const key = `${eid}/${device}`;
    const answers = this.#answers.get(key) ?? [];
    this.#answers.set(key, answers);
    answers.push({ asked, after: goesOn, atMs: world.nowMs });
    const known = this.#device(eid, device);
    if (known !== undefined) known.base ??= goesOn;
    world.note(() => `storage: ${key} asked ${asked}, goes on behind ${goesOn}`);
  }

  /** Where the device was told to go on, of all answers to such a question since then. */
  *starts(eid: string, device: string, asked: number, sinceMs: number): Iterable<number> {
    for (const answer of this.#answers.get(`${eid}/${device}`) ?? []) {
      if (answer.asked === asked && answer.atMs >= sinceMs) yield answer.after;
    }
  }

  userWritten(eid: string, bytes: Uint8Array): void {
    let isFirst = true;
    for (const [name, state] of decodeRecord(bytes).devices) {
      const device = this.#device(eid, name);
      const before = this.#states.get(`${eid}/${name}`);
      this.#states.set(`${eid}/${name}`, { ...state });
      if (device !== undefined && before !== undefined) this.#check(device, before, state);
      else if (device !== undefined) this.#checkBegin(device, state.cursor, isFirst);
      isFirst = false;
    }
  }

  /** Whether what the device acknowledged is stored. */
  hasCursor({ eid, name, cursorAtLeast }: Device): boolean {
    return (this.#states.get(`${eid}/${name}`)?.cursor ?? 0) >= cursorAtLeast;
  }

  receiptsWritten(eid: string, bytes: Uint8Array): void {
    const { nowMs } = this.#simulation.world;
    for (const [status, indexes] of decodeReceipts(bytes).byStatus) {
      for (const index of indexes) {
        const key = `${eid} ${status} ${index}`;
        if (!this.#receipts.has(key)) this.#receipts.set(key, nowMs);
      }
    }
  }

  /** Whether the ledger had the receipt so early that a gateway must have known of it. */
  knows({ from, status, about }: TruthEntry, dedupeWindowMs: number): boolean {
    const sinceMs = this.#receipts.get(`${from.eid} ${status} ${about}`);
    const laterMs = dedupeWindowMs * LEDGER_KEPT_PART + ON_ITS_WAY_MS;
    return sinceMs !== undefined && this.#simulation.world.nowMs - sinceMs > laterMs;
  }

  /** Cursors never go back, and never beyond what was handed over and acknowledged. */
  #check(device: Device, before: DeviceState, { cursor, handed, acknowledged }: DeviceState): void {
    const { truth } = this.#simulation;
    const fail = (rule: string, details: string): void =>
      this.#simulation.fail(rule, `${device.eid}/${device.name}: ${details}`);
    if (handed < before.handed) fail("handed never goes back", `${before.handed} to ${handed}`);
    // A further new device begins at the head, or earlier if it asks for that before it acknowledged anything.
    if (!acknowledged) return;
    if (cursor < before.cursor) fail("cursors never go back", `${before.cursor} to ${cursor}`);
    if (cursor > before.cursor && cursor > device.maxAcknowledged) {
      fail("cursors stay behind acknowledgements", `${cursor} > ${device.maxAcknowledged}`);
    }
    // What lies before its begin it may ask for, and yet acknowledge what it had before that comes.
    const owedAfter = Math.max(before.cursor, device.maxResumed, device.base ?? 0);
    for (const entry of truth.between(device.eid, owedAfter, cursor + 1)) {
      if (entry.stored.gone || device.handed.has(entry.seq) || !isDue(entry, device.name, false)) continue;
      fail("cursors stay behind what was handed over", `${cursor}, but ${entry.seq} was never handed`);
    }
  }

  /** A user's first device begins at the log's beginning, a further one at the head, or earlier if it asks for that. */
  #checkBegin({ eid, name, headAtFirst = 0, minResumed }: Device, cursor: number, isFirst: boolean): void {
    const { truth } = this.#simulation;
    const from = isFirst || truth.find(eid, headAtFirst)?.stored.gone === true ? 0 : Math.min(headAtFirst, minResumed);
    const to = isFirst ? 0 : Math.max(truth.head(eid), headAtFirst);
    if (cursor >= from && cursor <= to) return;
    this.#simulation.fail("a device begins where it should", `${eid}/${name}: at ${cursor}, not ${from} to ${to}`);
  }

  #device(eid: string, name: string): Device | undefined {
    return this.#simulation.devices.find((device) => device.eid === eid && device.name === name);
  }
}
