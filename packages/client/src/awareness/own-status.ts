import type { StatusWord } from "./own-word.js";

interface Said {
  readonly word: StatusWord;
  /** When the server had read it, epoch milliseconds. */
  readAtMs: number | undefined;
}

/** The gateway has read a status, and hands it on: it may take so long, and nobody hears of it when it does not. */
const HANDING_ON_MS = 10_000;
/** `ttl` is told in whole seconds, and takes its time to come. */
const UNTIL_TOLERANCE_MS = 5_000;
const MAX_SAID = 16;

/**
 * What the user's status is, as far as it can be known: the server tells what other devices made of it, and in a snapshot what
 * it is, but never this device what it said itself.
 */
export class OwnStatus {
  /** What the server had last, by its own word or since what was said must have arrived. */
  #server: StatusWord = "none";
  /** What was said since, of which it is not known whether it arrived; oldest first. */
  #said: Said[] = [];

  /** The last that was said, if it may not have arrived. */
  get unconfirmed(): StatusWord | undefined {
    this.#age();
    return this.#said.at(-1)?.word;
  }

  get current(): StatusWord {
    return this.unconfirmed ?? this.#server;
  }

  /** @param read resolves when the server has read it, rejects when the connection goes first */
  say(word: StatusWord, read: Promise<unknown>): void {
    this.#age();
    const said: Said = { word, readAtMs: undefined };
    this.#said = [...this.#said.filter((other) => other.word !== word), said].slice(-MAX_SAID);
    read.then(
      () => (said.readAtMs = Date.now()),
      () => undefined,
    );
  }

  /**
   * The server's word. What it tells now it may have told before it took what was said here; if it is neither that nor
   * what was said, another device has changed it, and what was said before does not hold any more.
   */
  hear(word: StatusWord): void {
    this.#age();
    const at = this.#said.findLastIndex((said) => isSame(said.word, word));
    if (at >= 0) this.#said.splice(0, at + 1);
    else if (!isSame(this.#server, word)) this.#said = [];
    this.#server = word;
  }

  /** The server does not take it. */
  refused(): void {
    this.#said = [];
  }

  /** What has not arrived by now perhaps never will. */
  interrupt(): void {
    this.#age();
    this.#said = this.#said.map(({ word }) => ({ word, readAtMs: undefined }));
  }

  #age(): void {
    const arrivedMs = Date.now() - HANDING_ON_MS;
    const at = this.#said.findLastIndex(({ readAtMs }) => readAtMs !== undefined && readAtMs <= arrivedMs);
    const arrived = this.#said[at];
    if (arrived === undefined) return;
    this.#server = arrived.word;
    this.#said.splice(0, at + 1);
  }
}

function isSame(a: StatusWord, b: StatusWord): boolean {
  if (a === "none" || b === "none") return a === b;
  const isSameEnd = a.untilMs === b.untilMs || Math.abs(a.untilMs - b.untilMs) <= UNTIL_TOLERANCE_MS;
  return isSameEnd && a.own.status === b.own.status && (a.own.details ?? "") === (b.own.details ?? "");
}
