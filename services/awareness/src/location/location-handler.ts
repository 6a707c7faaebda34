import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ContactRecord } from "@bimip/nats";
import {
  ErrorCode,
  IdentitySchema,
  type LocationRequest,
  type LocationResponseSchema,
  type LocationStream,
  LocationStreamSchema,
} from "@bimip/protocol";
import type { ContactLists } from "../directory/contact-lists.js";
import { fromOtherSide, isAccepted, maySee } from "../contacts/who-may-see.js";
import type { Directory } from "../directory/directory.js";
import type { Fanout } from "../telling/fanout.js";
import { senderOf } from "../sender.js";
import { byPrecision, coarsened } from "./precision.js";

export interface LocationHandlerOptions {
  readonly directory: Directory;
  readonly lists: ContactLists;
  readonly fanout: Fanout;
  /** Resolves once the feed told everything that stands now. */
  readonly caughtUp: () => Promise<void>;
}

type Answer = MessageInitShape<typeof LocationResponseSchema>;

const DONE: Answer = { code: 0, details: "" };
const NOT_ACCEPTED: Answer = { code: ErrorCode.NOT_ALLOWED, details: "to.eid: is not an accepted contact" };
const SHARES_NONE: Answer = { code: ErrorCode.NOT_ALLOWED, details: "to.eid: you share no location with this contact" };

/** Passes a position on, as exactly as each contact may know it, and keeps nothing of it. */
export function createLocationHandler({
  directory,
  lists,
  fanout,
  caughtUp,
}: LocationHandlerOptions): (request: LocationRequest) => Promise<Answer> {
  return async ({ eid, device, node, location, order }) => {
    const stanza = fromBinary(LocationStreamSchema, location);
    await caughtUp(); // a block that was confirmed holds
    const list = await lists.of(eid);
    const to = stanza.to?.eid ?? "";
    let recipients: string[];
    if (to === "") {
      recipients = [eid]; // the user's own other devices
      const { visibility } = directory.visible(eid);
      for (const record of list.values()) if (maySee(fromOtherSide(record), visibility)) recipients.push(record.peer);
    } else {
      const refusal = to === eid ? undefined : refusalOf(list.get(to));
      if (refusal !== undefined) return refusal;
      recipients = [to];
    }
    const stamped: LocationStream = {
      ...stanza,
      from: create(IdentitySchema, senderOf({ eid, device, node })),
      timestamp: stanza.timestamp === 0n ? BigInt(Date.now()) : stanza.timestamp,
    };
    for (const [precisionM, peers] of byPrecision(recipients, list)) {
      if (precisionM < 0) continue;
      const value = toBinary(LocationStreamSchema, seenAs(stamped, precisionM));
      fanout.send(peers, { eid, notDevice: device, revision: Number(order) }, { case: "location", value });
    }
    return DONE;
  };
}

function refusalOf(record: ContactRecord | undefined): Answer | undefined {
  if (record === undefined || record.blocks || record.blockedBy || !isAccepted(record.other)) return NOT_ACCEPTED;
  return record.precisionM < 0 ? SHARES_NONE : undefined;
}

function seenAs(stanza: LocationStream, precisionM: number): LocationStream {
  if (precisionM === 0) return stanza;
  const { altitude } = stanza;
  const seen = { ...stanza, ...coarsened(stanza, precisionM) };
  if (altitude !== undefined) seen.altitude = Math.round(altitude / precisionM) * precisionM;
  return seen;
}
