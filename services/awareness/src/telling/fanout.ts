import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type NatsConnection, SUBJECTS } from "@bimip/nats";
import { type AwarenessFanout, AwarenessFanoutSchema } from "@bimip/protocol";
import type { Directory } from "../directory/directory.js";
import type { AwarenessMetrics } from "../metrics.js";

/** What is told, encoded once for all who hear it. */
export type FanoutStanza = NonNullable<Extract<AwarenessFanout["stanza"], { value: Uint8Array }>>;

export interface FanoutAbout {
  /** Whom it is about. */
  readonly eid: string;
  /** A device of `eid` that said so itself; "" = none. */
  readonly notDevice?: string;
  /** Recipients drop what they were told at a lower one; 0 = they do not look. */
  readonly revision?: number;
  /** Told as a Body, even if it is but one. */
  readonly asBody?: boolean;
}

export interface FanoutOptions {
  readonly nc: NatsConnection;
  readonly directory: Directory;
  readonly metrics: AwarenessMetrics;
  /** This replica's name. */
  readonly replica: string;
}

/** Names in one message: far below NATS's limit of 1 MiB, even of the longest. */
const MAX_NAMES = 1_000;
/** After so long a gateway finds out that the last message got lost. */
const REPEAT_MS = 2_000;

/**
 * Tells users' devices, by one message for each gateway that holds some of them. Core messages may get lost between nats-servers:
 * those to a gateway are numbered, and the last number is repeated.
 */
export class Fanout {
  readonly #o: FanoutOptions;
  readonly #timer: NodeJS.Timeout;
  /** Of the last message to each gateway. */
  readonly #numbers = new Map<string, bigint>();
  /** Gateways that were told something since the last look. */
  readonly #told = new Set<string>();

  constructor(options: FanoutOptions) {
    this.#o = options;
    this.#timer = setInterval(() => this.#repeatNumbers(), REPEAT_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Users who are not connected are not told. Answers with how many are. */
  send(recipients: Iterable<string>, about: FanoutAbout, stanza: FanoutStanza): number {
    const byGateway = new Map<string, string[]>();
    for (const eid of recipients) {
      for (const gateway of this.#o.directory.gatewaysOf(eid)) {
        const names = byGateway.get(gateway);
        if (names === undefined) byGateway.set(gateway, [eid]);
        else names.push(eid);
      }
    }
    let count = 0;
    const { eid, notDevice = "", revision = 0, asBody = false } = about;
    const common = { eid, notDevice, revision: BigInt(revision), asBody, stanza };
    for (const [gateway, names] of byGateway) {
      count += names.length;
      for (let at = 0; at < names.length; at += MAX_NAMES) {
        const to = names.length <= MAX_NAMES ? names : names.slice(at, at + MAX_NAMES);
        const number = (this.#numbers.get(gateway) ?? 0n) + 1n;
        this.#numbers.set(gateway, number);
        this.#told.add(gateway);
        this.#publish(gateway, { ...common, to, number });
        this.#o.metrics.fanouts.inc();
      }
    }
    this.#o.metrics.told.inc(count);
    return count;
  }

  #repeatNumbers(): void {
    for (const gateway of this.#told) {
      const number = this.#numbers.get(gateway);
      if (number !== undefined) this.#publish(gateway, { number });
    }
    this.#told.clear();
    const gateways = new Set(this.#o.directory.gateways());
    for (const gateway of this.#numbers.keys()) if (!gateways.has(gateway)) this.#numbers.delete(gateway);
  }

  #publish(gateway: string, init: MessageInitShape<typeof AwarenessFanoutSchema>): void {
    const { nc, replica } = this.#o;
    const message = create(AwarenessFanoutSchema, { ...init, replica });
    nc.publish(SUBJECTS.fanout(gateway), toBinary(AwarenessFanoutSchema, message));
  }
}
