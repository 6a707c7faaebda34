import { SUBJECTS } from "@bimip/nats";
import { type Awareness, AwarenessContactSchema, type Body, type SnapshotRequest, type Stanza } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import type { GatewayAlone } from "./awareness-stand-in.js";
import type { Device } from "./device.js";

/** What a device was told of others: `alice@x 3` is a type 1, `alice@x 2/6` a type 2; a Body is a list. */
export function told(device: Device): (string | string[])[] {
  const one = ({ from, type, status }: Awareness): string => `${from?.eid} ${type === 1 ? "" : `${type}/`}${status}`;
  return device.received.flatMap(({ kind, value }: Stanza): (string | string[])[] => {
    if (kind === "awareness") return [one(value)];
    if (kind === "body") return [[`route ${value.route}`, ...value.awarenessList.map(one)]];
    return [];
  });
}

/** The same without Bodies around. */
export const flat = (device: Device): string[] =>
  told(device)
    .flat()
    .filter((line) => !line.startsWith("route"));
export const snapshotsOf = (device: Device): Body[] => device.of("body").filter(({ route }) => route === 9n);

/** Connects, and waits for the first snapshot. */
export async function connectTo(kit: GatewayAlone, eid: string, name = "phone"): Promise<Device> {
  const device = await kit.device(eid, name);
  await device.until("body");
  return device;
}

/** Everything that the gateway was told before is handed on now. */
export async function handedOn({ link, awareness }: GatewayAlone, device: Device): Promise<void> {
  await link.nc.flush();
  const gateway = await awareness.gatewayOf(device.eid);
  await link.nc.request(SUBJECTS.gatewayPing(gateway), "", { timeout: 5_000 });
  await device.settle();
  await device.settle();
}

/** The snapshots that were asked for a user. */
export const askedBy = ({ awareness }: GatewayAlone, eid: string): SnapshotRequest[] =>
  awareness.snapshots.filter((request) => request.eid === eid);

/** As the service tells, and a device says it. */
export function contactBytes(init: Parameters<typeof create<typeof AwarenessContactSchema>>[1]): Uint8Array {
  return toBinary(AwarenessContactSchema, create(AwarenessContactSchema, init));
}
