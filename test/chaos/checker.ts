import {
  type Attempt,
  type DeviceKey,
  type DeviceName,
  deviceKey,
  type History,
  type ReceiptSighting,
  type Sighting,
} from "./history.js";

/**
 * What the broker promised and did not keep.
 *
 * - lost: acknowledged, and not received by a device that it was for
 * - duplicated: handed to one application twice
 * - reordered: one device's messages to one recipient, seen in another order than they were sent
 * - unexpected: never sent, received by someone it was not for, or changed on the way
 * - unanswered: neither acknowledged nor refused, though everything works again
 * - refused: rejected for good, though nothing was wrong with it
 * - untold: delivered to another user, and a device of its author never heard of it
 * - told twice: a device of its author heard of its delivery more than once
 * - misfiled: the log does not hold it at the index that SENT told, or holds it twice
 */
export const VIOLATIONS = [
  "lost",
  "duplicated",
  "reordered",
  "unexpected",
  "unanswered",
  "refused",
  "untold",
  "told twice",
  "misfiled",
] as const;

export type ViolationKind = (typeof VIOLATIONS)[number];

export interface Violation {
  readonly kind: ViolationKind;
  readonly id: string;
  /** Who missed or saw it; undefined where it concerns the sender only. */
  readonly device?: DeviceKey;
  readonly details: string;
}

export interface Verdict {
  readonly attempted: number;
  readonly acknowledged: number;
  /** Messages handed to applications, over all devices. */
  readonly received: number;
  readonly violations: readonly Violation[];
}

/**
 * Judges a run as Jepsen's queue checker does, per device: of what was acknowledged everything must have been received
 * by every device of the recipient and every other device of the sender.
 *
 * @param devices all of them; each existed before the first message
 */
export function judge(history: History, devices: readonly DeviceName[]): Verdict {
  const violations: Violation[] = [];
  const attempts = [...history.attempts.values()];
  let received = 0;
  for (const device of devices) {
    const sightings = history.sightings.get(deviceKey(device)) ?? [];
    received += sightings.length;
    violations.push(...judgeDevice(device, sightings, history.attempts));
    violations.push(...judgeReceipts(device, history.receipts.get(deviceKey(device)) ?? [], history.attempts));
  }
  for (const attempt of attempts) {
    const { id, acknowledged, refused } = attempt;
    if (refused !== undefined) violations.push({ kind: "refused", id, details: refused });
    else if (acknowledged === undefined) violations.push({ kind: "unanswered", id, details: "no SENT, no error" });
  }
  const acknowledged = attempts.filter((attempt) => attempt.acknowledged !== undefined).length;
  return { attempted: attempts.length, acknowledged, received, violations };
}

/** Whether a message is for this device: one of the recipient's, or another one of the sender's. */
export function isFor({ from, to }: Pick<Attempt, "from" | "to">, device: DeviceName): boolean {
  if (deviceKey(device) === from) return false;
  return device.eid === to || from.startsWith(`${device.eid}/`);
}

function* judgeDevice(
  name: DeviceName,
  sightings: readonly Sighting[],
  attempts: ReadonlyMap<string, Attempt>,
): Iterable<Violation> {
  const device = deviceKey(name);
  const seen = new Map<string, Sighting>();
  /** The furthest message of each flow, from one device to one user. */
  const furthest = new Map<string, { readonly counter: number; readonly sighting: Sighting }>();
  for (const sighting of sightings) {
    const { id, from, to } = sighting;
    const attempt = attempts.get(id);
    const wrong = unexpected(name, sighting, attempt);
    if (attempt === undefined || wrong !== undefined) {
      yield { kind: "unexpected", id, device, details: `${wrong}; ${describe(sighting)}` };
      continue;
    }
    const before = seen.get(id);
    if (before !== undefined) {
      yield { kind: "duplicated", id, device, details: `${describe(before)}, again ${describe(sighting)}` };
      continue;
    }
    seen.set(id, sighting);
    const flow = `${from}>${to}`;
    const last = furthest.get(flow);
    if (last !== undefined && last.counter > attempt.counter) {
      const details = `${describe(sighting)}, after ${last.sighting.id} ${describe(last.sighting)}`;
      yield { kind: "reordered", id, device, details };
    } else {
      furthest.set(flow, { counter: attempt.counter, sighting });
    }
  }
  for (const attempt of attempts.values()) {
    const { id, acknowledged } = attempt;
    if (acknowledged === undefined || !isFor(attempt, name) || seen.has(id)) continue;
    yield { kind: "lost", id, device, details: `SENT with index ${acknowledged.index}, own ${acknowledged.logIndex}` };
  }
}

/** Every device of an author hears once that the message was delivered to the other user. */
function* judgeReceipts(
  name: DeviceName,
  receipts: readonly ReceiptSighting[],
  attempts: ReadonlyMap<string, Attempt>,
): Iterable<Violation> {
  const device = deviceKey(name);
  const isTold = ({ from, to }: Attempt): boolean => to !== name.eid && from.startsWith(`${name.eid}/`);
  const told = new Map<string, ReceiptSighting>();
  for (const receipt of receipts) {
    const { id, from, atMs } = receipt;
    const attempt = attempts.get(id);
    const before = told.get(id);
    if (attempt === undefined || !isTold(attempt) || attempt.to !== from) {
      yield { kind: "unexpected", id, device, details: `receipt from ${from} at ${atMs} ms` };
    } else if (before !== undefined) {
      yield { kind: "told twice", id, device, details: `at ${before.atMs} and at ${atMs} ms` };
    } else told.set(id, receipt);
  }
  for (const attempt of attempts.values()) {
    const { id, acknowledged } = attempt;
    if (acknowledged === undefined || !isTold(attempt) || told.has(id)) continue;
    yield { kind: "untold", id, device, details: `no receipt from ${attempt.to}` };
  }
}

/**
 * Compares what the logs hold at the end with what SENT told.
 *
 * @param logs per EID, in the order of the log: index and message id of each entry that is a message
 */
export function judgeLogs(
  history: History,
  logs: ReadonlyMap<string, readonly { readonly index: number; readonly id: string }[]>,
): Violation[] {
  const violations: Violation[] = [];
  const places = new Map<string, Map<string, number>>();
  for (const [eid, entries] of logs) {
    const found = new Map<string, number>();
    places.set(eid, found);
    for (const { id, index } of entries) {
      const before = found.get(id);
      if (before === undefined) found.set(id, index);
      else violations.push({ kind: "misfiled", id, details: `in the log of ${eid} at ${before} and at ${index}` });
    }
  }
  for (const { id, from, to, acknowledged } of history.attempts.values()) {
    if (acknowledged === undefined) continue;
    const told = [
      [to, acknowledged.index],
      [from.slice(0, from.indexOf("/")), acknowledged.logIndex],
    ] as const;
    for (const [eid, index] of told) {
      const at = places.get(eid)?.get(id);
      if (at === index) continue;
      const place = at === undefined ? "not there" : `at ${at}`;
      violations.push({ kind: "misfiled", id, details: `SENT told index ${index} of ${eid}, it is ${place}` });
    }
  }
  return violations;
}

function unexpected(device: DeviceName, sighting: Sighting, attempt: Attempt | undefined): string | undefined {
  if (attempt === undefined) return "never sent";
  if (sighting.text !== attempt.id) return `its text is ${JSON.stringify(sighting.text)}`;
  if (sighting.from !== attempt.from) return `from is ${sighting.from}`;
  if (sighting.to !== attempt.to) return `to is ${sighting.to}`;
  return isFor(attempt, device) ? undefined : "not for this device";
}

function describe({ index, replayed, atMs }: Sighting): string {
  return `index ${index} at ${atMs} ms${replayed ? " (replayed)" : ""}`;
}

/** How many of each kind. */
export function countViolations(violations: readonly Violation[]): Record<ViolationKind, number> {
  const counts = Object.fromEntries(VIOLATIONS.map((kind) => [kind, 0])) as Record<ViolationKind, number>;
  for (const { kind } of violations) counts[kind]++;
  return counts;
}

/** What may still come; anything else is wrong already. */
const MISSING: ReadonlySet<ViolationKind> = new Set(["lost", "unanswered", "untold"]);

/** How much of what must come has not come yet. */
export function countMissing(history: History, devices: readonly DeviceName[]): number {
  return judge(history, devices).violations.filter(({ kind }) => MISSING.has(kind)).length;
}
