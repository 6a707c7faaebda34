import { create, toBinary } from "@bufbuild/protobuf";
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

/** Names in one message: far below NATS's limit of 1 MiB, even of the longest. */
const MAX_NAMES = 1_000;

/** Tells users' devices, by one message for each gateway that holds some of them. */
export class Fanout {
  readonly #nc: NatsConnection;
  readonly #directory: Directory;
  readonly #metrics: AwarenessMetrics;

  constructor(nc: NatsConnection, directory: Directory, metrics: AwarenessMetrics) {
    this.#nc = nc;
    this.#directory = directory;
    this.#metrics = metrics;
  }

  /** Users who are not connected are not told. Answers with how many are. */
  send(recipients: Iterable<string>, about: FanoutAbout, stanza: FanoutStanza): number {
    const byGateway = new Map<string, string[]>();
    for (const eid of recipients) {
      for (const gateway of this.#directory.gatewaysOf(eid)) {
        const names = byGateway.get(gateway);
        if (names === undefined) byGateway.set(gateway, [eid]);
        else names.push(eid);
      }
    }
    let count = 0;
    const { eid, notDevice = "", revision = 0, asBody = false } = about;
    for (const [gateway, names] of byGateway) {
      count += names.length;
      for (let at = 0; at < names.length; at += MAX_NAMES) {
        const to = names.length <= MAX_NAMES ? names : names.slice(at, at + MAX_NAMES);
        const message = create(AwarenessFanoutSchema, {
          to,
          eid,
          notDevice,
          revision: BigInt(revision),
          asBody,
          stanza,
        });
        this.#nc.publish(SUBJECTS.fanout(gateway), toBinary(AwarenessFanoutSchema, message));
        this.#metrics.fanouts.inc();
      }
    }
    this.#metrics.told.inc(count);
    return count;
  }
}
