import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "./connect.js";

/** Revision of a bucket's last entry, from the stream's leader; 0 = it never held one. Rejects when NATS does not answer. */
export async function bucketHead(nc: NatsConnection, bucket: string): Promise<number> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  return (await jsm.streams.info(`KV_${bucket}`)).state.last_seq;
}
