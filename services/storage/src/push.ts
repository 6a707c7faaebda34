import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  PushStateRequest,
  PushStateResponseSchema,
  SubscriptionRequest,
  SubscriptionResponseSchema,
} from "@bimip/protocol";
import type { UserStore } from "./user-store.js";

/**
 * Query PUSH_SUBSCRIBE, PUSH_UNSUBSCRIBE: keeps the device's web-push subscription, or drops it. A browser is called once for
 * a message: its endpoint stays with the device that named it last.
 *
 * @throws Error when a device that was never seen wants to subscribe: to be tried again after its resume
 */
export async function setSubscription(
  store: UserStore,
  { eid, device, subscription, expected }: SubscriptionRequest,
): Promise<MessageInitShape<typeof SubscriptionResponseSchema>> {
  const known = await store.change(eid, (record) => {
    const state = record.devices.get(device);
    if (state === undefined) return false;
    if (subscription === "" && expected !== "" && state.subscription !== expected) return true;
    state.subscription = subscription;
    if (subscription === "") return true;
    // An account that logs in under another device name brings its browser's subscription along.
    const endpoint = endpointOf(subscription);
    for (const other of record.devices.values()) {
      if (other !== state && endpoint !== undefined && endpointOf(other.subscription) === endpoint) {
        other.subscription = "";
      }
    }
    return true;
  });
  // Registered here, it would begin where only its resume can say.
  if (!known && subscription !== "") throw new Error("the device has not resumed yet, or was forgotten");
  return {};
}

function endpointOf(subscription: string): string | undefined {
  try {
    const { endpoint } = JSON.parse(subscription) as { endpoint?: unknown };
    return typeof endpoint === "string" ? endpoint : undefined;
  } catch {
    return undefined; // none, or nothing that could be called
  }
}

/** What the push worker needs to know of a user. */
export async function pushState(
  store: UserStore,
  { eid }: PushStateRequest,
): Promise<MessageInitShape<typeof PushStateResponseSchema>> {
  const { acked, pushed, epoch, devices } = await store.read(eid);
  const subscriptions = [...devices]
    .filter(([, { subscription }]) => subscription !== "")
    .map(([device, { subscription }]) => ({ device, subscription }));
  return {
    acked: BigInt(acked),
    pushed: BigInt(pushed),
    epoch: BigInt(epoch),
    subscriptions,
    devices: [...devices].map(([device, { cursor }]) => ({ device, cursor: BigInt(cursor) })),
  };
}
