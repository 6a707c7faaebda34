import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type AwarenessVisibilityResSchema, AwarenessVisibilitySchema, type VisibilityRequest } from "@bimip/protocol";
import { senderOf } from "../sender.js";
import type { Fanout } from "../telling/fanout.js";
import type { Users } from "./users.js";

export interface VisibilityHandlerOptions {
  readonly users: Users;
  readonly fanout: Fanout;
  /** Resolves once the feed told everything up to this revision. */
  readonly reached: (revision: number) => Promise<void>;
}

/** AwarenessVisibility: keeps the setting and tells the user's other devices; who asked hears it from the gateway. */
export function createVisibilityHandler({
  users,
  fanout,
  reached,
}: VisibilityHandlerOptions): (
  request: VisibilityRequest,
) => Promise<MessageInitShape<typeof AwarenessVisibilityResSchema>> {
  return async ({ id, eid, deviceId, node, type, displayName }) => {
    const { revision } = await users.setVisibility(eid, deviceId, type);
    await reached(revision);
    const timestamp = BigInt(Date.now());
    const from = senderOf({ eid, device: deviceId, node });
    const stanza = create(AwarenessVisibilitySchema, { id, from, type, timestamp });
    const value = toBinary(AwarenessVisibilitySchema, stanza);
    fanout.send([eid], { eid, notDevice: deviceId }, { case: "visibility", value });
    return { id, eid, deviceId, type, timestamp, status: 0, message: "", displayName: displayName || eid };
  };
}
