import { alarmAt, type Logger } from "@bimip/runtime";

const DAY_MS = 86_400_000;
const WARN_MS = 14 * DAY_MS;

/** Says in the log when the certificate in use comes to its end: from 14 days before, once a day. */
export class ExpiryWatch {
  readonly #logger: Pick<Logger, "warn" | "error">;
  #stop: (() => void) | undefined;

  constructor(logger: Pick<Logger, "warn" | "error">) {
    this.#logger = logger;
  }

  /** From now on it is this certificate. @param expiresMs epoch milliseconds */
  watch(expiresMs: number): void {
    this.stop();
    this.#stop = alarmAt(expiresMs - WARN_MS, () => this.#warn(expiresMs));
  }

  stop(): void {
    this.#stop?.();
  }

  #warn(expiresMs: number): void {
    const leftMs = expiresMs - Date.now();
    const expires = new Date(expiresMs).toISOString();
    if (leftMs <= 0) this.#logger.error({ expires }, "the TLS certificate has expired");
    else this.#logger.warn({ expires, days: Math.floor(leftMs / DAY_MS) }, "the TLS certificate expires soon");
    this.#stop = alarmAt(Date.now() + DAY_MS, () => this.#warn(expiresMs));
  }
}
