/** What the sessions bucket holds for a device; JSON. */
export interface SessionRecord {
  readonly eid: string;
  readonly device: string;
  /** The gateway, and the connection there. */
  readonly node: string;
  readonly sessionId: string;
  readonly online: boolean;
  /** Epoch milliseconds: when it connected, or ended. */
  readonly at: number;
}
