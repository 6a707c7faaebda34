import { fileURLToPath } from "node:url";
import {
  AwarenessContactSchema,
  ContactAction,
  decodeFrame,
  encodeStanza,
  MessageSchemeSchema,
  SignalSchema,
  type Stanza,
  STANZA_ROUTE,
} from "@bimip/protocol";
import { create, fromBinary } from "@bufbuild/protobuf";
import protobufjs from "protobufjs";
import { isName } from "../kit/hostile-names.js";
import { RawSocket } from "./raw-socket.js";
import type { Tally } from "./tally.js";

const SCHEMA = fileURLToPath(new URL("../../proto/bimip/bimip.proto", import.meta.url));
/** Of what comes, so much is read by protobufjs as well. */
const OTHER_READER_EVERY = 5;
const ACKNOWLEDGE_EVERY = 100;
const { REQUEST, ACCEPT } = ContactAction;

/**
 * The device that attackers write to. Whatever gets through to it must be well formed for three readers, come from one of the
 * attackers, and be in order without a gap.
 */
export class Receiver {
  readonly eid: string;
  /** What came, by kind. */
  readonly came: Record<string, number> = {};
  readonly #tally: Tally;
  readonly #socket: RawSocket;
  readonly #otherReader = protobufjs.loadSync(SCHEMA).lookupType("bimip.MessageScheme");
  #frames = 0;
  #index = 0;

  constructor(options: { eid: string; port: number; token: string; tally: Tally }) {
    const { eid, port, token, tally } = options;
    this.eid = eid;
    this.#tally = tally;
    this.#socket = RawSocket.open({
      port,
      token,
      onFrame: (payload) => this.#onFrame(payload),
      onProblem: (text) => tally.problem(`the receiver: ${text}`),
      onEnd: ({ code, reason, status }) =>
        tally.problem(`the receiver's connection ended: ${code ?? "no code"} ${reason} ${status ?? ""}`),
    });
  }

  close(): void {
    this.#socket.reset();
  }

  #onFrame(payload: Buffer): void {
    this.#frames++;
    const wrong = (what: string): void =>
      this.#tally.problem(`the receiver got ${what}: ${payload.toString("hex").slice(0, 4_000)}`);
    let stanza: Stanza;
    try {
      ({ stanza } = decodeFrame(payload, { maxStanzaBytes: 1 << 24 }));
      const theirs = fromBinary(MessageSchemeSchema, payload);
      if (theirs.payload.case !== stanza.kind) wrong(`what protobuf-es takes for ${theirs.payload.case}`);
      if (Number(theirs.route) !== STANZA_ROUTE[stanza.kind]) wrong(`route ${theirs.route}`);
      if (this.#frames % OTHER_READER_EVERY === 0) this.#otherReader.decode(payload);
    } catch (error) {
      return wrong(`what does not decode (${String(error)})`);
    }
    this.came[stanza.kind] = (this.came[stanza.kind] ?? 0) + 1;
    this.#judge(stanza, wrong);
  }

  #judge(stanza: Stanza, wrong: (what: string) => void): void {
    const { kind, value } = stanza;
    if (kind === "error") return wrong("an error");
    if ("from" in value && value.from !== undefined) {
      const { eid, connectionResourceId: device } = value.from;
      const known = /^(?:fuzz|cut)-\d+@fuzz$/.test(eid) || eid === this.eid;
      // What is true of a user as a whole, such as presence, names no device.
      if (!known || (device !== undefined && !isName(device, 128)))
        wrong(`something from ${JSON.stringify(value.from)}`);
    }
    if ("id" in value && value.id !== "" && !isName(value.id, 128)) wrong("a bad id");
    if (kind === "message" || kind === "pushNotification")
      this.#inOrder({ index: value.monotonicId, previous: value.previousId }, wrong);
    else if (kind === "signal" && value.logId > 0n)
      this.#inOrder({ index: value.logId, previous: value.previousId }, wrong);
    else if (kind === "awarenessContact" && value.action === REQUEST && value.from !== undefined) {
      const answer = { to: { eid: value.from.eid }, relationship: value.relationship, action: ACCEPT };
      this.#socket.send(encodeStanza("awarenessContact", create(AwarenessContactSchema, answer)));
    }
  }

  #inOrder({ index, previous }: { index: bigint; previous: bigint }, wrong: (what: string) => void): void {
    if (Number(previous) !== this.#index) wrong(`index ${index} behind ${previous}, but had ${this.#index}`);
    this.#index = Number(index);
    if (this.#index % ACKNOWLEDGE_EVERY > 0) return;
    this.#socket.send(encodeStanza("signal", create(SignalSchema, { type: 1, status: 4, monotonicId: index })));
  }
}
