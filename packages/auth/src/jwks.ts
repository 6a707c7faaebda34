import { createHash } from "node:crypto";
import { fetchJson } from "./fetch-json.js";
import { KeyError } from "./key-error.js";
import { type KeyReading, readKeySet } from "./key-set.js";
import type { KeySource, VerificationKey } from "./verification-key.js";

const LIMITS = { timeoutMs: 5_000, maxBytes: 1_048_576 };
/** Whoever makes up names of keys must not make us a nuisance to the issuer. */
const LOOK_EVERY_MS = 10_000;
/** Kept of those that the issuer does not publish any more, the newest. */
const MAX_VANISHED = 100;

export interface JwksOptions {
  /** http: or https:, without user and password. */
  readonly url: string;
  /** Seconds from one reading to the next. */
  readonly refreshS: number;
  /** Seconds for which a key is honoured that is not in the set any more. */
  readonly keepS: number;
  /** How long to wait before the next try after so many failed ones, 1 for the first. Never longer than `refreshS`. */
  readonly retryMs: (failures: number) => number;
  /** The set was read. `changed`: it holds other keys than before. */
  readonly onRead?: (reading: KeyReading, changed: boolean) => void;
  /** The set could not be read, or not be used; the keys that were read before stay. */
  readonly onError?: (error: KeyError) => void;
  /** The clock, Unix epoch milliseconds; default Date.now. */
  readonly nowMs?: () => number;
  /** For tests: 5 s and 1 MiB for a reading, 10 s between two readings because of unknown keys. */
  readonly limits?: { readonly timeoutMs: number; readonly maxBytes: number };
  readonly lookEveryMs?: number;
}

/** The keys that an issuer publishes at an address: read at once, in turn, and when a token names one that is not there. */
export class Jwks implements KeySource {
  keys: readonly VerificationKey[] = [];
  /** Resolves when the set was read for the first time. */
  readonly read: Promise<void>;
  /** Epoch milliseconds of the last reading that worked; undefined before the first. */
  readAtMs: number | undefined;
  readonly #options: JwksOptions;
  readonly #nowMs: () => number;
  #resolveRead: () => void = () => undefined;
  #reading: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** By a clock that nobody sets. */
  #lookedMs = -Infinity;
  #fingerprint = "";
  #closed = false;

  /** Begins to read. */
  constructor(options: JwksOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.read = new Promise((resolve) => {
      this.#resolveRead = resolve;
    });
    void this.#refresh();
  }

  /**
   * At most one reading in ten seconds, which begins after the one under way: that one may have been answered before the
   * issuer published the key. Whoever asks meanwhile waits for the same one, or is told that nobody looks.
   */
  look(): Promise<void> | undefined {
    if (this.#looking !== undefined) return this.#looking;
    const now = performance.now();
    if (this.#closed || now - this.#lookedMs < (this.#options.lookEveryMs ?? LOOK_EVERY_MS)) return this.#reading;
    this.#lookedMs = now;
    this.#looking = this.#readNext();
    return this.#looking;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#resolveRead();
  }

  async #readNext(): Promise<void> {
    await this.#reading;
    await this.#refresh();
    this.#looking = undefined;
  }

  /** Never rejects. */
  async #refresh(): Promise<void> {
    clearTimeout(this.#timer);
    this.#reading = this.#readSet();
    await this.#reading;
    this.#reading = undefined;
    if (this.readAtMs !== undefined) this.#resolveRead();
    this.#arm();
  }

  #arm(): void {
    if (this.#closed) return;
    const { refreshS, retryMs } = this.#options;
    const waitMs = this.#failures === 0 ? refreshS * 1_000 : Math.min(retryMs(this.#failures), refreshS * 1_000);
    this.#timer = setTimeout(() => void this.#refresh(), waitMs).unref();
  }

  async #readSet(): Promise<void> {
    const { url, limits = LIMITS, onRead, onError } = this.#options;
    try {
      const reading = readKeySet(await fetchJson(url, limits), { secrets: false });
      if (this.#closed) return;
      const changed = this.#take(reading.keys);
      this.#failures = 0;
      this.readAtMs = this.#nowMs();
      onRead?.(reading, changed);
    } catch (error) {
      if (this.#closed) return;
      this.#failures++;
      onError?.(error instanceof KeyError ? error : new KeyError(String(error), { cause: error }));
    }
  }

  #take(current: readonly VerificationKey[]): boolean {
    const nowMs = this.#nowMs();
    const ids = new Set(current.map(idOf));
    const vanished = this.keys
      .filter((key) => !ids.has(idOf(key)))
      .map((key) => ({ ...key, untilMs: key.untilMs ?? nowMs + this.#options.keepS * 1_000 }))
      .filter(({ untilMs }) => untilMs > nowMs);
    this.keys = [...current, ...vanished.slice(0, MAX_VANISHED)];
    const fingerprint = [...ids].sort().join(" ");
    const changed = fingerprint !== this.#fingerprint;
    this.#fingerprint = fingerprint;
    return changed;
  }
}

/** Name, algorithm and key: an issuer that gives another key an old name has replaced it. */
function idOf({ kid, algorithm, key }: VerificationKey): string {
  const material = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");
  return `${JSON.stringify(kid)}/${algorithm}/${material}`;
}
