import type { HoldRequest, SessionEvent } from "@bimip/protocol";
import type { Directory } from "../directory/directory.js";

export interface HoldHandlerOptions {
  readonly directory: Directory;
  /** Registers a session and makes older ones of its device end. */
  readonly open: (event: SessionEvent) => Promise<unknown>;
  /** A session was not known. */
  readonly onReopened: () => void;
}

/** What a gateway says it holds: sessions that were swept, or whose registration got lost, are registered again. */
export function createHoldHandler({
  directory,
  open,
  onReopened,
}: HoldHandlerOptions): (request: HoldRequest) => Promise<Record<string, never>> {
  return async ({ node, gateway, sessions }) => {
    await Promise.all(
      sessions.map(async (session) => {
        const known = directory.session(session.eid, session.device)?.record;
        if (known?.sessionId === session.sessionId && known.state === "online") return;
        onReopened();
        await open({ ...session, node, gateway, open: true });
      }),
    );
    return {};
  };
}
