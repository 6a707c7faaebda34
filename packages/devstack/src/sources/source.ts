/** What a source works with. */
export interface SourceContext {
  /** An empty folder of its own, removed afterwards. */
  readonly tempDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Another source was faster, or the start was given up. */
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** One place that a nats-server binary can be fetched from, into a folder, without installing anything. */
export interface NatsSource {
  readonly name: "release" | "apt" | "go";
  /**
   * Path of the binary below `tempDir`, its origin verified: by checksum, by signature or by a checksum database. The
   * caller runs it to see its version.
   *
   * @throws Error saying in one line why this source cannot help, at the latest 5 s after it stopped answering.
   */
  obtain(context: SourceContext): Promise<string>;
}
