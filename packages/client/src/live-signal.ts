import { SignalSchema, type SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { checkedFrame } from "./checked-frame.js";

/** The frame of a Signal that nobody stores: typing, recording. Throws a BimipError 422 for a wrong `to`. */
export function liveSignalFrame(to: string, status: SignalStatus): Uint8Array {
  const timestamp = BigInt(Date.now());
  return checkedFrame("signal", create(SignalSchema, { to: { eid: to }, type: SignalType.REQUEST, status, timestamp }));
}
