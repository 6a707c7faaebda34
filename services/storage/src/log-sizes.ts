import type { LogReader } from "@bimip/nats";
import { pagesAfter } from "./log-walk.js";

interface Counted {
  /** Oldest index when counting began. */
  readonly firstId: number;
  readonly upTo: number;
  readonly bytes: number;
}

/**
 * Bytes of users' logs, which nats-server does not tell. Each entry is read once: the next look goes on from there, unless
 * something of the log went away meanwhile.
 */
export class LogSizes {
  readonly #reader: LogReader;
  #counted = new Map<string, Counted>();
  #next = new Map<string, Counted>();

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  /** Bytes of the log's entries as stored, without what NATS adds. */
  async bytesOf(eid: string): Promise<number> {
    const [firstId, head] = await Promise.all([this.#reader.first(eid), this.#reader.head(eid)]);
    const known = this.#counted.get(eid);
    let { upTo, bytes } = known?.firstId === firstId && known.upTo <= head ? known : { upTo: 0, bytes: 0 };
    for await (const page of pagesAfter(this.#reader, eid, upTo, head)) {
      for (const entry of page) bytes += entry.bytes.length;
      upTo = page.at(-1)?.index ?? upTo;
    }
    this.#next.set(eid, { firstId, upTo, bytes });
    return bytes;
  }

  /** A sweep is over: what it did not ask for is forgotten. */
  endSweep(): void {
    this.#counted = this.#next;
    this.#next = new Map();
  }
}
