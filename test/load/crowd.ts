import { AwarenessStatus, ContactAction, ContactRelationship } from "@bimip/protocol";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";

const BATCH = 50;
/** Of an observer's. A gateway asks for one after the other, and gives up what waited for 10 s: on a machine that has a lot to do, 50 are too many. */
const REQUESTS_AT_ONCE = 10;

/** Does the same with many, some at a time. */
export async function inBatches<T, R>(
  items: readonly T[],
  work: (item: T, at: number) => Promise<R>,
  size = BATCH,
): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += size)
    results.push(...(await Promise.all(items.slice(from, from + size).map((item, at) => work(item, from + at)))));
  return results;
}

/** Makes each user a mutual contact of each observer; resolves when the observers see them all ONLINE. */
export async function acquaint(observers: readonly Device[], users: readonly Device[]): Promise<void> {
  const { MUTUAL: relationship } = ContactRelationship;
  const pairs = observers.flatMap((observer) => users.map((user) => ({ observer, user })));
  await inBatches(
    pairs,
    async ({ observer, user }) => {
      const isFrom = (eid: string) => (one: { from?: { eid: string } | undefined }) => one.from?.eid === eid;
      observer.contact({ to: { eid: user.eid }, relationship, action: ContactAction.REQUEST });
      await user.until("awarenessContact", isFrom(observer.eid));
      user.contact({ to: { eid: observer.eid }, relationship, action: ContactAction.ACCEPT });
      await observer.sees(user.eid, AwarenessStatus.ONLINE);
    },
    REQUESTS_AT_ONCE,
  );
  // What this took is of no use any more, and would be searched again and again.
  for (const device of [...observers, ...users]) device.received.length = 0;
}

/** What a device believes of users and is not so, in words. */
export function differences(observer: Device, truth: ReadonlyMap<string, boolean>): string[] {
  const wrong: string[] = [];
  for (const [eid, isOnline] of truth) {
    const wanted = isOnline ? AwarenessStatus.ONLINE : AwarenessStatus.OFFLINE;
    const shown = observer.presenceOf(eid);
    if (shown !== wanted) wrong.push(`${observer.eid} sees ${eid} as ${shown}, not ${wanted}`);
  }
  return wrong;
}

/** Resolves with how long it took until each observer's picture was the truth; else rejects with what is not so. */
export async function untilTrue(
  observers: readonly Device[],
  truth: ReadonlyMap<string, boolean>,
  withinMs: number,
): Promise<number> {
  const startedMs = performance.now();
  const wrong = (): string[] => observers.flatMap((observer) => differences(observer, truth));
  await eventually(
    () => `the observers see how it is: ${wrong().length} wrong, such as ${wrong().slice(0, 5).join("; ")}`,
    () => wrong().length === 0,
    withinMs,
  );
  return performance.now() - startedMs;
}
