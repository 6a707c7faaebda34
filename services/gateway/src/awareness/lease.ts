import { setTimeout as delay } from "node:timers/promises";
import { BUCKETS, type GatewayLease, type Link } from "@bimip/nats";
import { type KV, Kvm } from "@nats-io/kv";

export interface LeaseOptions {
  readonly link: Link;
  /** This gateway's process. */
  readonly gateway: string;
  readonly node: string;
  readonly signal: AbortSignal;
  /** A renewal failed; the next one is tried in its time. */
  readonly onError: (error: unknown) => void;
}

const RENEW_MS = 500;
const FIRST_RETRY_MS = 100;
const TIMEOUT_MS = 2_000;

/** Says that this process lives. While there is a lease nobody takes its sessions for ended. */
export class Lease {
  readonly #kv: KV;
  readonly #o: LeaseOptions;
  readonly #value: string;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<boolean> | undefined;

  private constructor(kv: KV, options: LeaseOptions) {
    this.#kv = kv;
    this.#o = options;
    this.#value = JSON.stringify({ node: options.node } satisfies GatewayLease);
  }

  /** Resolves once there is one, and renews it from there on. */
  static async begin(options: LeaseOptions): Promise<Lease> {
    const lease = new Lease(await new Kvm(options.link.nc).open(BUCKETS.gateways), options);
    while (!(await lease.#renew())) {
      options.signal.throwIfAborted();
      await delay(FIRST_RETRY_MS);
    }
    lease.#timer = setInterval(() => void lease.#renew(), RENEW_MS);
    lease.#timer.unref();
    return lease;
  }

  /** Takes it away, so that nobody has to find out. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    if (!this.#o.link.up) return;
    await this.#kv.delete(this.#o.gateway).catch(this.#o.onError);
  }

  /** One at a time. False: it failed. */
  async #renew(): Promise<boolean> {
    if (this.#renewing !== undefined || !this.#o.link.up) return false;
    this.#renewing = this.#kv.put(this.#o.gateway, this.#value, { timeout: TIMEOUT_MS }).then(
      () => true,
      (error: unknown) => {
        this.#o.onError(error);
        return false;
      },
    );
    const done = await this.#renewing;
    this.#renewing = undefined;
    return done;
  }
}
