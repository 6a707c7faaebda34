import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { ContactRecord } from "@bimip/nats";
import {
  type Awareness,
  type AwarenessRequest,
  type AwarenessResponseSchema,
  AwarenessSchema,
  AwarenessStatus,
  AwarenessType,
  ErrorCode,
  IdentitySchema,
  LocationSharing,
} from "@bimip/protocol";
import type { ContactLists } from "../directory/contact-lists.js";
import { fromOtherSide, maySee } from "../contacts/who-may-see.js";
import type { Directory } from "../directory/directory.js";
import { senderOf } from "../sender.js";
import { located } from "../telling/awareness-bytes.js";
import type { Fanout } from "../telling/fanout.js";
import { coarsened, type Position } from "../location/precision.js";
import type { Registry } from "../sessions/registry.js";
import type { Origin, Teller } from "../telling/teller.js";
import type { Users } from "./users.js";

export interface StanzaHandlerOptions {
  readonly registry: Registry;
  readonly users: Users;
  readonly directory: Directory;
  readonly lists: ContactLists;
  readonly teller: Teller;
  readonly fanout: Fanout;
  /** Resolves once the feed told everything up to this revision. */
  readonly reached: (revision: number) => Promise<void>;
  /** Resolves once the feed told everything that stands now. */
  readonly caughtUp: () => Promise<void>;
}

type Answer = MessageInitShape<typeof AwarenessResponseSchema>;

const DONE: Answer = { code: 0, details: "" };
const MAY_NOT_SEE: Answer = { code: ErrorCode.NOT_ALLOWED, details: "to.eid: may not see you" };

/** Awareness of a device: for everybody who may see the user, or for one of them. */
export function createStanzaHandler(options: StanzaHandlerOptions): (request: AwarenessRequest) => Promise<Answer> {
  return async (request) => {
    const awareness = fromBinary(AwarenessSchema, request.awareness);
    const to = awareness.to?.eid ?? "";
    return to === "" ? broadcast(options, request, awareness) : directed(options, request, awareness, to);
  };
}

async function broadcast(
  options: StanzaHandlerOptions,
  { eid, device, sessionId }: AwarenessRequest,
  awareness: Awareness,
): Promise<Answer> {
  const { registry, users, teller, reached } = options;
  const { id, type, status, details, ttl, visibility } = awareness;
  const atMs = Date.now();
  const said = { status, details, atMs, untilMs: ttl === 0 ? 0 : atMs + ttl * 1_000 };
  const origin: Origin = { id, device, position: positionOf(awareness), visibility };
  teller.expect(eid, origin);
  try {
    let revision: number;
    if (type === AwarenessType.STATUS) {
      ({ revision } = await users.setCustom(eid, device, { ...said, visibility }));
    } else {
      const spoken = await registry.speak(eid, device, sessionId, { ...said, visibility });
      ({ revision } = spoken);
      if (status === AwarenessStatus.ONLINE && (await mayHaveCustom(options, eid, spoken))) {
        const { changed, revision: next } = await users.clearCustom(eid, device);
        if (changed) revision = next;
      }
    }
    await reached(revision);
    teller.conclude(eid, origin);
  } catch (error) {
    teller.forget(eid, origin);
    throw error;
  }
  return DONE;
}

/** Whoever says ONLINE has nothing special to say any more: is there something? What a device said before is in the feed by then. */
async function mayHaveCustom(
  { directory, reached }: StanzaHandlerOptions,
  eid: string,
  { changed, revision }: { readonly changed: boolean; readonly revision: number },
): Promise<boolean> {
  if (!changed) return true; // nothing was written that the feed could be waited for by
  await reached(revision);
  return directory.visible(eid).custom !== undefined;
}

/** To one user's devices, live: it changes nothing that others see. */
async function directed(
  { lists, directory, fanout, caughtUp }: StanzaHandlerOptions,
  { eid, device, node }: AwarenessRequest,
  awareness: Awareness,
  to: string,
): Promise<Answer> {
  await caughtUp(); // a block that was confirmed holds
  const record = to === eid ? undefined : (await lists.of(eid)).get(to);
  if (to !== eid && !mayBeTold(record, directory.visible(eid).visibility)) return MAY_NOT_SEE;
  const precisionM = record?.precisionM ?? 0;
  const position = precisionM < 0 ? undefined : positionOf(awareness);
  const stamped: Awareness = {
    ...awareness,
    from: create(IdentitySchema, senderOf({ eid, device, node })),
    timestamp: awareness.timestamp === 0n ? BigInt(Date.now()) : awareness.timestamp,
    visibility: 0,
    ...located(position === undefined ? undefined : coarsened(position, precisionM)),
  };
  const notDevice = to === eid ? device : "";
  fanout.send([to], { eid, notDevice }, { case: "awareness", value: toBinary(AwarenessSchema, stamped) });
  return DONE;
}

function mayBeTold(record: ContactRecord | undefined, visibility: number): boolean {
  return record !== undefined && maySee(fromOtherSide(record), visibility);
}

/** location_sharing 0 strips the coordinates. */
function positionOf({ locationSharing, latitude, longitude }: Awareness): Position | undefined {
  return locationSharing === LocationSharing.ON ? { latitude, longitude } : undefined;
}
