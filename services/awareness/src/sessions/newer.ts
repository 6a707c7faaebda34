import type { SessionRecord } from "@bimip/nats";
import type { SessionEvent } from "@bimip/protocol";

/** By so much the time of awareness's replicas, and the way from a gateway to them, may be off. */
const SLACK_MS = 250;
/** Gateways whose numbers are kept for a device: a device that went round more of them has long been told of elsewhere. */
const MAX_GATEWAYS = 8;

/** Whether this session of the gateway, or one that it opened later for the device, was heard of already. */
export function isHeard({ numbers }: Pick<SessionRecord, "numbers">, { gateway, number }: SessionEvent): boolean {
  return number > 0n && Number(number) <= (numbers?.[gateway] ?? 0);
}

/** The numbers of a device with this session's; `before`: of the record so far. */
export function numbersWith(
  before: Pick<SessionRecord, "numbers"> | undefined,
  { gateway, number }: SessionEvent,
): Readonly<Record<string, number>> {
  const others = Object.entries(before?.numbers ?? {}).filter(([name]) => name !== gateway);
  const own = Math.max(Number(number), before?.numbers?.[gateway] ?? 0);
  return Object.fromEntries([...others.slice(1 - MAX_GATEWAYS), [gateway, own]]);
}

/**
 * Whether an event's session is older than the one of the record, which is another one.
 *
 * Of sessions of one gateway its own count tells, and of a session that the registry heard of before that it was replaced, or ended. Else
 * only an open session stands in the way of another one, and only one that was registered when that was open already: who
 * connects after it is newer. Of sessions that were open at once before they were registered, because they connected at
 * about the same time, or because the registry was away, the clocks of their gateways tell.
 *
 * @param nowMs epoch milliseconds
 */
export function isOlder(current: SessionRecord, event: SessionEvent, nowMs: number): boolean {
  if (isHeard(current, event)) return true;
  if (current.state !== "online" || isOfSameGateway(current, event)) return false;
  const registeredAgoMs = nowMs - (current.registeredMs ?? 0);
  const wereOpenAtOnce = registeredAgoMs > -SLACK_MS && registeredAgoMs <= Number(event.ageMs) + SLACK_MS;
  return wereOpenAtOnce && current.sinceMs > Number(event.timestamp);
}

/**
 * Whether an opening must be told anew before it may end the open session of the record: it may have been held up on its way
 * for so long that its own session has ended, or that the other one is newer. Who tells it anew is there still, and says how
 * old it is now. Never so within a gateway, which ended the other one itself.
 */
export function isContested(current: SessionRecord, revision: number, event: SessionEvent): boolean {
  const { number, over } = event;
  return current.state === "online" && number > 0n && !isOfSameGateway(current, event) && Number(over) !== revision;
}

function isOfSameGateway({ gateway }: SessionRecord, event: SessionEvent): boolean {
  return gateway === event.gateway && event.number > 0n;
}
