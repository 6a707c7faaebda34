import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "./connect.js";

/** Where a bucket stands. */
export interface BucketHead {
  /** Of its last entry; 0 = it never held one. */
  readonly revision: number;
  /** When it was made: another time, another bucket. */
  readonly created: string;
}

/** Revision of a bucket's last entry, from the stream's leader; 0 = it never held one. Rejects when NATS does not answer. */
export async function bucketHead(nc: NatsConnection, bucket: string): Promise<number> {
  return (await readHead(await jetstreamManager(nc, { checkAPI: false }), bucket)).revision;
}

/** Asks the stream's leader. Rejects when NATS does not answer. */
export async function readHead(jsm: JetStreamManager, bucket: string): Promise<BucketHead> {
  const { state, created } = await jsm.streams.info(`KV_${bucket}`);
  return { revision: state.last_seq, created };
}
