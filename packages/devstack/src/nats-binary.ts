/** A nats-server that was run once to see its version, which is at least `MIN_NATS_VERSION`. */
export interface NatsBinary {
  /** Absolute path. */
  readonly path: string;
  readonly version: string;
  /** Where it came from: `BIMIP_NATS_SERVER`, PATH, the cache, or one of the places it is fetched from. */
  readonly source: "configured" | "path" | "cache" | "release" | "apt" | "go";
}
