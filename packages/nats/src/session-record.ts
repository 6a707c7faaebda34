/** What a device said last of its user's presence (Awareness, type 1). */
export interface DevicePresence {
  /** AwarenessStatus, 1 to 5. */
  readonly status: number;
  readonly details: string;
  /** Visibility that narrows the user's setting while this holds; 0 = it does not. */
  readonly visibility: number;
  /** Epoch milliseconds. */
  readonly atMs: number;
  /** When it falls back to ONLINE, epoch milliseconds; 0 = never. */
  readonly untilMs: number;
}

/** What the awareness bucket holds for a device, one entry per device ever seen; JSON. */
export interface SessionRecord {
  readonly eid: string;
  readonly device: string;
  readonly node: string;
  /** The gateway's process. */
  readonly gateway: string;
  /** The connection there. */
  readonly sessionId: string;
  /**
   * By gateway's process, the highest number of this device's sessions there that the registry heard of; the last eight gateways
   * to hold the device. A session with that number or a lower one that is not this record's was replaced, or has ended. Absent in records of
   * earlier versions.
   */
  readonly numbers?: Readonly<Record<string, number>>;
  /** The peer's; absent in records of earlier versions. */
  readonly address?: string;
  /** leaving: it ended, but may come back within the grace period; gone: it did not. */
  readonly state: "online" | "leaving" | "gone";
  /** How it ended; a swept session is there again if its gateway says so. "" while online. */
  readonly ended: "" | "closed" | "swept";
  /** When it connected, epoch milliseconds by its gateway's clock. */
  readonly sinceMs: number;
  /** When it was registered, by the clock of awareness. Absent in records of earlier versions, and of those that never were. */
  readonly registeredMs?: number;
  /** When it connected, or ended; epoch milliseconds. */
  readonly atMs: number;
  readonly presence: DevicePresence;
  /** The replica of awareness that wrote this: it tells those who may see it. */
  readonly by: string;
}

/** Bucket BIMIP_GATEWAYS, JSON. */
export interface GatewayLease {
  readonly node: string;
}
