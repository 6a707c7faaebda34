import { encodeStanza, type PingPong, PingPongSchema, PingPongType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Session } from "../session.js";

/** A ping is answered with the same id; a pong needs no answer. */
export function handlePingPong(session: Session, ping: PingPong): void {
  if (ping.type !== PingPongType.PING) return;
  const pong = create(PingPongSchema, {
    id: ping.id,
    type: PingPongType.PONG,
    timestamp: BigInt(Date.now()),
    details: ping.details,
  });
  session.send(encodeStanza("pingPong", pong));
}
