import { ContactAction, ContactRelationship } from "@bimip/protocol";

/** What one user has with another, of their own doing. */
export type Side = "none" | "askedFollow" | "follows" | "askedContact" | "followsAskedContact" | "contact";

/** How a contact stanza is answered: what its author is told, or with which error. */
export type Outcome = { readonly action: ContactAction } | { readonly code: 403 | 409 };

const { REQUEST, ACCEPT, DENY, REMOVE, ERROR, BLOCK, UNBLOCK } = ContactAction;

/** They agreed to be seen. */
export const isAccepted = (side: Side): boolean =>
  side === "contact" || side === "follows" || side === "followsAskedContact";
const asksToBeContact = (side: Side): boolean => side === "askedContact" || side === "followsAskedContact";

/** A simple model of who has what with whom: what the specification says, one stanza after the other. */
export class Relations {
  readonly #sides = new Map<string, Side>();
  readonly #blocks = new Set<string>();

  /** Of `eid` towards `peer`. */
  side(eid: string, peer: string): Side {
    return this.#sides.get(pairOf(eid, peer)) ?? "none";
  }

  blocks(eid: string, peer: string): boolean {
    return this.#blocks.has(pairOf(eid, peer));
  }

  /** Neither blocks the other. */
  isOpen(eid: string, peer: string): boolean {
    return !this.blocks(eid, peer) && !this.blocks(peer, eid);
  }

  /** @param action any but LIST and the server's own words */
  take(eid: string, peer: string, action: ContactAction, relationship: ContactRelationship): Outcome {
    if (action === REMOVE || action === BLOCK) this.#end(eid, peer);
    if (action === BLOCK) this.#blocks.add(pairOf(eid, peer));
    if (action === UNBLOCK) this.#blocks.delete(pairOf(eid, peer));
    if (action === REMOVE || action === BLOCK || action === UNBLOCK) return { action };
    // Whoever blocks does not learn whether they are blocked as well.
    if (this.blocks(eid, peer)) return { code: 409 };
    if (this.blocks(peer, eid)) return { code: 403 };
    if (action === REQUEST) return { action: this.#request(eid, peer, relationship) };
    return { action: action === ACCEPT ? this.#accept(eid, peer) : this.#deny(eid, peer) };
  }

  #request(eid: string, peer: string, relationship: ContactRelationship): ContactAction {
    const [own, other] = [this.side(eid, peer), this.side(peer, eid)];
    if (own === "contact") return ACCEPT;
    if (relationship === ContactRelationship.MUTUAL) {
      if (asksToBeContact(other)) return this.#becomeContacts(eid, peer);
      if (own === "none" || own === "askedFollow") this.#set(eid, peer, "askedContact");
      if (own === "follows") this.#set(eid, peer, "followsAskedContact");
      return REQUEST;
    }
    if (own === "askedContact") this.#set(eid, peer, "askedFollow");
    if (own === "followsAskedContact") this.#set(eid, peer, "follows");
    // Who wants to be a contact agreed to be seen.
    if (own === "none") this.#set(eid, peer, asksToBeContact(other) ? "follows" : "askedFollow");
    return this.side(eid, peer) === "follows" ? ACCEPT : REQUEST;
  }

  #accept(eid: string, peer: string): ContactAction {
    const other = this.side(peer, eid);
    if (other === "askedFollow") this.#set(peer, eid, "follows");
    else if (asksToBeContact(other)) this.#becomeContacts(eid, peer);
    return isAccepted(this.side(peer, eid)) ? ACCEPT : ERROR;
  }

  #deny(eid: string, peer: string): ContactAction {
    const other = this.side(peer, eid);
    if (other !== "askedFollow" && !asksToBeContact(other)) return ERROR;
    this.#set(peer, eid, other === "followsAskedContact" ? "follows" : "none");
    return DENY;
  }

  #becomeContacts(eid: string, peer: string): ContactAction {
    this.#set(eid, peer, "contact");
    this.#set(peer, eid, "contact");
    return ACCEPT;
  }

  #end(eid: string, peer: string): void {
    this.#set(eid, peer, "none");
    this.#set(peer, eid, "none");
  }

  #set(eid: string, peer: string, side: Side): void {
    this.#sides.set(pairOf(eid, peer), side);
  }
}

const pairOf = (eid: string, peer: string): string => `${eid} ${peer}`;
