import { appendFileSync } from "node:fs";

/** A device, as `eid/device`. */
export type DeviceKey = string;

export interface DeviceName {
  readonly eid: string;
  readonly device: string;
}

export const deviceKey = ({ eid, device }: DeviceName): DeviceKey => `${eid}/${device}`;

/** One message, from the call of `send` on. */
export interface Attempt {
  /** `<sending device>-<recipient>-<counter>`: the message's id and its text. */
  readonly id: string;
  readonly from: DeviceKey;
  /** EID of the recipient. */
  readonly to: string;
  /** Grows with each message of this device. */
  readonly counter: number;
  /** Index in the recipient's log and in the sender's own, as SENT told them; undefined before. */
  acknowledged?: { readonly index: number; readonly logIndex: number };
  /** Why `send` was rejected. */
  refused?: string;
}

/** One message handed to the application of one device. */
export interface Sighting {
  readonly id: string;
  readonly text: string | undefined;
  /** Device in `from`, as the server stamped it. */
  readonly from: DeviceKey;
  readonly to: string;
  readonly index: number;
  readonly replayed: boolean;
  /** Milliseconds since the run began. */
  readonly atMs: number;
}

/** One DELIVERED receipt handed to the application of one device. */
export interface ReceiptSighting {
  /** Of the message. */
  readonly id: string;
  /** EID of the one who got it. */
  readonly from: string;
  /** Milliseconds since the run began. */
  readonly atMs: number;
}

/** All that happened to the messages of one run, and a journal of it in a file. */
export class History {
  readonly attempts = new Map<string, Attempt>();
  readonly sightings = new Map<DeviceKey, Sighting[]>();
  /** DELIVERED receipts handed to applications. */
  readonly receipts = new Map<DeviceKey, ReceiptSighting[]>();
  #acknowledged = 0;
  readonly #journal: string | undefined;
  readonly #startedMs = performance.now();
  #lines: string[] = [];

  /** @param journal file that each event is appended to, one line of JSON; default none */
  constructor(devices: readonly DeviceName[], journal?: string) {
    for (const device of devices) {
      this.sightings.set(deviceKey(device), []);
      this.receipts.set(deviceKey(device), []);
    }
    this.#journal = journal;
  }

  /** How many messages got their SENT. */
  get acknowledgedCount(): number {
    return this.#acknowledged;
  }

  get nowMs(): number {
    return Math.round(performance.now() - this.#startedMs);
  }

  attempted(attempt: Pick<Attempt, "id" | "from" | "to" | "counter">): void {
    this.attempts.set(attempt.id, { ...attempt });
    this.note("attempt", { id: attempt.id });
  }

  acknowledged(id: string, where: { readonly index: number; readonly logIndex: number }): void {
    const attempt = this.attempts.get(id);
    if (attempt === undefined) throw new Error(`acknowledged, but never attempted: ${id}`);
    attempt.acknowledged = where;
    this.#acknowledged++;
    this.note("sent", { id, ...where });
  }

  refused(id: string, reason: string): void {
    const attempt = this.attempts.get(id);
    if (attempt !== undefined) attempt.refused = reason;
    this.note("refused", { id, reason });
  }

  received(device: DeviceKey, sighting: Omit<Sighting, "atMs">): void {
    this.sightings.get(device)?.push({ ...sighting, atMs: this.nowMs });
    this.note("received", { device, ...sighting, text: undefined });
  }

  receiptCame(device: DeviceKey, receipt: Omit<ReceiptSighting, "atMs">): void {
    this.receipts.get(device)?.push({ ...receipt, atMs: this.nowMs });
    this.note("receipt", { device, ...receipt });
  }

  /** A line of the journal. */
  note(event: string, details: Readonly<Record<string, unknown>> = {}): void {
    if (this.#journal === undefined) return;
    this.#lines.push(JSON.stringify({ atMs: this.nowMs, event, ...details }));
    if (this.#lines.length >= 1_000) this.flush();
  }

  flush(): void {
    if (this.#journal === undefined || this.#lines.length === 0) return;
    appendFileSync(this.#journal, `${this.#lines.join("\n")}\n`);
    this.#lines = [];
  }
}
