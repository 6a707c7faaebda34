import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { type NatsConnection, SUBJECTS } from "@bimip/nats";
import { AwarenessToldSchema } from "@bimip/protocol";

export interface UntoldOptions {
  readonly nc: NatsConnection;
  /** This replica's name. */
  readonly replica: string;
  /** Everything that this replica wrote up to this revision was told. */
  readonly toldUpTo: () => number;
}

interface Change {
  readonly by: string;
  readonly revision: number;
  readonly sinceMs: number;
  readonly tell: () => void;
}

const SAY_MS = 500;
/** A replica that did not tell for so long is taken for dead; telling twice does no harm. */
const SILENT_MS = 3_000;

/** What other replicas of awareness wrote and did not tell yet: told in their place when they fall silent. */
export class Untold {
  readonly #o: UntoldOptions;
  readonly #changes = new Map<string, Change>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: UntoldOptions) {
    this.#o = options;
    options.nc.subscribe(SUBJECTS.told, {
      callback: (error, message) => {
        if (error !== null) return;
        const { replica, revision } = fromBinary(AwarenessToldSchema, message.data);
        if (replica !== options.replica) this.#told(replica, Number(revision));
      },
    });
    this.#timer = setInterval(() => this.#look(), SAY_MS);
  }

  /** @param key of the changed value: a newer change takes the place of an older one */
  add(key: string, by: string, revision: number, tell: () => void): void {
    this.#changes.delete(key);
    this.#changes.set(key, { by, revision, sinceMs: performance.now(), tell });
  }

  clear(): void {
    this.#changes.clear();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #told(replica: string, upTo: number): void {
    for (const [key, { by, revision }] of this.#changes) {
      if (by === replica && revision <= upTo) this.#changes.delete(key);
    }
  }

  #look(): void {
    const { nc, replica, toldUpTo } = this.#o;
    const message = create(AwarenessToldSchema, { replica, revision: BigInt(toldUpTo()) });
    nc.publish(SUBJECTS.told, toBinary(AwarenessToldSchema, message));
    const now = performance.now();
    for (const [key, { sinceMs, tell }] of this.#changes) {
      if (now - sinceMs < SILENT_MS) return; // the oldest come first
      this.#changes.delete(key);
      tell();
    }
  }
}
