/** What stands in the way of a stanza where a block is, as `details` say behind the field; tools tell by it which side blocks. */
export const BLOCK_REFUSALS = {
  /** The one who sends blocks the other. */
  byYou: "is blocked by you, unblock first",
  /** Said to whom the other blocks: no more than that it goes no further. */
  byThem: "does not take stanzas from you",
} as const;
