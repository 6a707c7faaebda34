import { encodeStanza, SignalSchema, type SignalStatus, SignalType, validateStanza } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

/** The frame of a Signal that nobody stores: typing, recording. Throws a BimipError 422 for a wrong `to`. */
export function liveSignalFrame(to: string, status: SignalStatus): Uint8Array {
  const timestamp = BigInt(Date.now());
  const value = create(SignalSchema, { to: { eid: to }, type: SignalType.REQUEST, status, timestamp });
  const problem = validateStanza({ kind: "signal", value });
  if (problem !== undefined) throw problem;
  return encodeStanza("signal", value);
}
