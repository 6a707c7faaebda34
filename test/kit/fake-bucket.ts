import { type CasBucket, NO_REVISION } from "@bimip/nats";

/** A CasBucket in memory. */
export class FakeBucket implements Pick<CasBucket, "read" | "write" | "remove"> {
  readonly values = new Map<string, { bytes: Uint8Array; revision: number; ttlS: number | undefined }>();
  /** Called before each write: somebody else may write in between, or NATS go away. */
  onWrite: () => void = () => undefined;
  #revision = 0;

  async read(key: string): Promise<{ bytes: Uint8Array; revision: number } | undefined> {
    return this.values.get(key);
  }

  async write(key: string, bytes: Uint8Array, revision: number, ttlS?: number): Promise<number | undefined> {
    this.onWrite();
    if ((this.values.get(key)?.revision ?? NO_REVISION) !== revision) return undefined;
    this.values.set(key, { bytes, revision: ++this.#revision, ttlS });
    return this.#revision;
  }

  async remove(pattern: string): Promise<void> {
    const start = pattern.endsWith(".*") ? pattern.slice(0, -1) : undefined;
    for (const key of this.values.keys())
      if (key === pattern || (start !== undefined && key.startsWith(start))) this.values.delete(key);
  }

  json(key: string): unknown {
    const value = this.values.get(key);
    return value === undefined ? undefined : JSON.parse(Buffer.from(value.bytes).toString());
  }

  put(key: string, value: object): void {
    this.values.set(key, { bytes: Buffer.from(JSON.stringify(value)), revision: ++this.#revision, ttlS: undefined });
  }
}
