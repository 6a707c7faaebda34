import type { HoldRequest, SessionEvent } from "@bimip/protocol";
import type { Directory } from "../directory/directory.js";
import type { Held } from "./registry.js";

export interface HoldHandlerOptions {
  readonly directory: Pick<Directory, "session">;
  readonly hold: (event: SessionEvent) => Promise<Held>;
  /** Resolves once the directory knows everything that stands now. */
  readonly caughtUp: () => Promise<void>;
  /** A session was not known, and is registered again. */
  readonly onReopened: (event: SessionEvent, epoch: number) => void;
  /** A session lives on beside a newer one of its device: the claim that would have ended it got lost. */
  readonly onStale: () => void;
}

/**
 * What a gateway says it holds: sessions that were swept, or whose registration got lost, are registered again; those that a newer
 * one took over from are named.
 */
export function createHoldHandler({
  directory,
  hold,
  caughtUp,
  onReopened,
  onStale,
}: HoldHandlerOptions): (request: HoldRequest) => Promise<{ stale: string[] }> {
  return async ({ node, gateway, sessions }) => {
    await caughtUp();
    const stale: string[] = [];
    await Promise.all(
      sessions.map(async (session) => {
        const known = directory.session(session.eid, session.device)?.record;
        if (known?.sessionId === session.sessionId && known.state === "online") return;
        const event = { ...session, node, gateway, open: true };
        const held = await hold(event);
        if (held.epoch > 0) onReopened(event, held.epoch);
        if (!held.stale) return;
        onStale();
        stale.push(session.sessionId);
      }),
    );
    return { stale };
  };
}
