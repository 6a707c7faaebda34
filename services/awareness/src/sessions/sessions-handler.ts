import type { SessionsRequest, SessionsResponseSchema } from "@bimip/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Directory } from "../directory/directory.js";

export interface SessionsHandlerOptions {
  readonly directory: Pick<Directory, "openSessionsOf">;
  /** Resolves once the directory knows everything that stands now. */
  readonly caughtUp: () => Promise<void>;
}

/** An answer holds no more of them: NATS takes a megabyte. */
const MAX_SESSIONS = 1_000;

/** The open sessions of an account, or of one of its devices, the newest first: at most 1,000. */
export function createSessionsHandler({
  directory,
  caughtUp,
}: SessionsHandlerOptions): (request: SessionsRequest) => Promise<MessageInitShape<typeof SessionsResponseSchema>> {
  return async ({ eid, device: only }) => {
    await caughtUp();
    const records = directory.openSessionsOf(eid).filter(({ device }) => only === "" || device === only);
    records.sort((a, b) => b.sinceMs - a.sinceMs);
    const sessions = records.slice(0, MAX_SESSIONS).map(({ device, node, sessionId, sinceMs, address = "" }) => ({
      device,
      node,
      sessionId,
      since: BigInt(sinceMs),
      address,
    }));
    return { sessions };
  };
}
