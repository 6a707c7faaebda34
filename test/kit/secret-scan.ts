import { createHash } from "node:crypto";

interface Trace {
  readonly what: string;
  readonly text: string;
}

const SHORTEST = 8;

/** Looks for planted secrets in text: as they are, as JSON and URLs write them, in base64 and hex. */
export class SecretScanner {
  readonly #traces: Trace[] = [];

  /** Something that must be found nowhere. @throws RangeError when it could be there by accident */
  plant(what: string, secret: string): string {
    if (secret.length < SHORTEST) throw new RangeError(`${what} is too short to be looked for`);
    const bytes = Buffer.from(secret);
    const forms = new Set([
      secret,
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(secret),
      bytes.toString("hex"),
      ...(["base64", "base64url"] as const).flatMap((encoding) =>
        [0, 1, 2].map((offset) => within(bytes, offset, encoding)),
      ),
    ]);
    for (const text of forms) this.#traces.push({ what, text });
    return secret;
  }

  /** A JWT: the whole, what is signed, and the signature, each of which is enough for something. */
  plantToken(what: string, token: string): string {
    const [header = "", payload = "", signature = ""] = token.split(".");
    if (payload.length >= SHORTEST) this.plant(`${what}, what is signed`, `${header}.${payload}`);
    if (signature.length >= SHORTEST) this.plant(`${what}, its signature`, signature);
    return this.plant(what, token);
  }

  /** A text that is nowhere else. */
  unique(what: string): string {
    const random = createHash("sha256").update(`${what} ${Math.random()}`).digest("base64url").slice(0, 16);
    return this.plant(what, `planted-${random}`);
  }

  /** What was found, in words; empty: nothing. */
  find(where: string, text: string): string[] {
    return [
      ...new Set(this.#traces.filter((trace) => text.includes(trace.text)).map(({ what }) => `${what} in ${where}`)),
    ];
  }
}

/** The characters that stand for these bytes alone when `offset` bytes, modulo three, come before them. */
function within(bytes: Buffer, offset: number, encoding: "base64" | "base64url"): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding);
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}
