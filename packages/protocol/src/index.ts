export * from "./gen/bimip/bimip_pb.js";
export * from "./gen/bimip/server/server_pb.js";
export { BLOCK_REFUSALS } from "./block-refusals.js";
export { BimipError, type BimipErrorOptions } from "./bimip-error.js";
export { decodeFrame, type DecodeOptions, type Frame, peekId } from "./decode-frame.js";
export { BODY_ROUTE, type BodyParts, encodeBody } from "./encode-body.js";
export { encodePage, type PageParts } from "./encode-page.js";
export { encodeSent, type Sent } from "./encode-sent.js";
export { encodePayload, encodeStanza, errorFrame } from "./encode-stanza.js";
export { encodeIdentity, encodeIdentityPrefix, type IdentityParts } from "./identity-bytes.js";
export { LIMITS } from "./limits.js";
export { nameProblem, nameToToken, tokenToName } from "./names.js";
export { ownText } from "./own-text.js";
export { peekKind, type PeekedNames, peekNames } from "./peek-stanza.js";
export { stampSignal } from "./stamp-signal.js";
export {
  STANZA_KINDS,
  STANZA_ROUTE,
  type Stanza,
  stanzaId,
  type StanzaKind,
  stanzaName,
  type StanzaValue,
} from "./stanza.js";
export { stanzaToJson } from "./stanza-to-json.js";
export {
  type EntrySummary,
  type EntryTarget,
  entryKind,
  entryTarget,
  isFrom,
  summaryOf,
  withIndexes,
} from "./stored-entry.js";
export { type Stamp, toStored } from "./to-stored.js";
export { validateStanza } from "./validate-stanza.js";
