import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@bimip/nats";

/** What a coordinate looks like where it may have been left. */
interface Trace {
  readonly what: string;
  readonly bytes: Buffer;
}

/** Digits that count as found: enough to be no accident, few enough to survive rounding. */
const DIGITS = 7;

/** Looks for coordinates in bytes and text: as digits, as IEEE-754 double in both orders, and as hex or base64 of those. */
export class CoordinateScanner {
  readonly #traces: Trace[];

  /** @param coordinates degrees with at least five decimals, that occur nowhere by accident */
  constructor(coordinates: readonly number[]) {
    this.#traces = coordinates.flatMap(tracesOf);
  }

  /** What was found, in words; empty: nothing. */
  find(where: string, bytes: Uint8Array | string): string[] {
    const buffer = Buffer.from(bytes);
    return this.#traces.filter((trace) => buffer.includes(trace.bytes)).map(({ what }) => `${what} in ${where}`);
  }

  /** Every message of every stream, its headers too. */
  async findInStreams(nc: NatsConnection): Promise<{ readonly found: string[]; readonly messages: number }> {
    const jsm = await jetstreamManager(nc);
    const found: string[] = [];
    let messages = 0;
    for await (const { config, state } of jsm.streams.list()) {
      // An empty stream has no first message, whatever its numbers say.
      for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; seq++) {
        const message = await jsm.streams.getMessage(config.name, { seq });
        if (message === null) continue;
        messages++;
        const headers = [...message.header.keys()].map((key) => `${key}: ${message.header.values(key).join()}`);
        const where = `${config.name} ${seq} ${message.subject}`;
        found.push(...this.find(where, message.data), ...this.find(where, [message.subject, ...headers].join("\n")));
      }
    }
    return { found, messages };
  }

  /** Every file of a folder: what was stored once and has been overwritten since is often still there. */
  async findInFolder(folder: string): Promise<{ readonly found: string[]; readonly bytes: number }> {
    const found: string[] = [];
    let bytes = 0;
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      // A file of the server's may vanish while we read.
      const content = await readFile(join(entry.parentPath, entry.name)).catch(() => Buffer.alloc(0));
      bytes += content.length;
      found.push(...this.find(entry.name, content));
    }
    return { found, bytes };
  }
}

function tracesOf(coordinate: number): Trace[] {
  const [little, big] = [Buffer.alloc(8), Buffer.alloc(8)];
  little.writeDoubleLE(coordinate);
  big.writeDoubleBE(coordinate);
  const digits = String(coordinate).slice(0, DIGITS);
  const text = (what: string, value: string): Trace => ({
    what: `${what} of ${coordinate}`,
    bytes: Buffer.from(value),
  });
  return [
    text("digits", digits),
    { what: `little-endian double of ${coordinate}`, bytes: little },
    { what: `big-endian double of ${coordinate}`, bytes: big },
    text("hex", little.toString("hex")),
    ...(["base64", "base64url"] as const).flatMap((encoding) =>
      [0, 1, 2].map((offset) => text(encoding, within(little, offset, encoding))),
    ),
  ];
}

/** The characters that stand for these bytes alone when `offset` bytes, modulo three, come before them. */
function within(bytes: Buffer, offset: number, encoding: "base64" | "base64url"): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding);
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}
