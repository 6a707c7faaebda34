import { Visibility } from "@bimip/protocol";
import type { ContactState } from "@bimip/nats";

/** Whoever is with `eid` in this relation may see `peer`: the specification's "Who may see", line by line. */
export function maySee({ own, blocks, blockedBy }: ContactState, visibilityOfPeer: number): boolean {
  if (blocks || blockedBy) return false;
  switch (visibilityOfPeer) {
    case Visibility.PUBLIC:
      return isAccepted(own) || own === "askedFollow";
    case Visibility.CONTACTS:
      return isAccepted(own);
    default:
      return false;
  }
}

/** `peer` agreed to be seen. */
export function isAccepted(own: ContactState["own"]): boolean {
  return own === "contact" || own === "follows" || own === "followsAskedContact";
}

/** The same relation as the other of the two sees it. */
export function fromOtherSide({ own, other, blocks, blockedBy }: ContactState): ContactState {
  return { own: other, other: own, blocks: blockedBy, blockedBy: blocks };
}
