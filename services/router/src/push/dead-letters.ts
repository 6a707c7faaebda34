import type { JetStreamClient } from "@nats-io/jetstream";
import { SUBJECTS } from "@bimip/nats";
import type { Push } from "./provider.js";

const TIMEOUT_MS = 5_000;

/** A push that was given up, as it stands in the stream BIMIP_DEAD. The message itself stays in the user's log. */
export interface DeadLetter extends Pick<Push, "id" | "eid" | "kind" | "from"> {
  readonly monotonic_id: number;
  /** Epoch milliseconds: stored, given up. */
  readonly timestamp: number;
  readonly given_up_at: number;
  readonly tries: number;
  /** Why, by target. */
  readonly failures: Readonly<Record<string, string>>;
}

export async function storeDeadLetter(
  js: JetStreamClient,
  push: Push,
  given: { tries: number; failures: Readonly<Record<string, string>> },
): Promise<void> {
  const { id, eid, kind, from, index, storedAtMs } = push;
  const letter: DeadLetter = {
    id,
    eid,
    kind,
    from,
    monotonic_id: index,
    timestamp: storedAtMs,
    given_up_at: Date.now(),
    ...given,
  };
  await js.publish(SUBJECTS.pushDead(eid), JSON.stringify(letter), { timeout: TIMEOUT_MS, msgID: id });
}
