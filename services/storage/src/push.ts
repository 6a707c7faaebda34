import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  PushStateRequest,
  PushStateResponseSchema,
  SubscriptionRequest,
  SubscriptionResponseSchema,
} from "@bimip/protocol";
import { registerDevice } from "./user-record.js";
import type { UserStore } from "./user-store.js";

/** Query PUSH_SUBSCRIBE, PUSH_UNSUBSCRIBE: keeps the device's web-push subscription, or drops it. */
export async function setSubscription(
  store: UserStore,
  { eid, device, subscription }: SubscriptionRequest,
): Promise<MessageInitShape<typeof SubscriptionResponseSchema>> {
  await store.change(eid, (record) => {
    if (subscription === "" && !record.devices.has(device)) return;
    // A device that asks is connected, so it has been registered; one forgotten since starts where the user is.
    registerDevice(record, device, record.acked, Date.now()).subscription = subscription;
  });
  return {};
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
  return { acked: BigInt(acked), pushed: BigInt(pushed), epoch: BigInt(epoch), subscriptions };
}
