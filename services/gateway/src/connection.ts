import type { Claims } from "@bimip/auth";
import {
  BimipError,
  CloseCode,
  decodeFrame,
  ErrorCode,
  ErrorOrigin,
  errorFrame,
  type Frame,
  peekKind,
  type Stanza,
  stanzaId,
  stanzaName,
  validateStanza,
} from "@bimip/protocol";
import { reasonOf } from "./audit.js";
import { tokenRefusal } from "./authenticator.js";
import { seat } from "./door/refusal.js";
import { enter } from "./first-frame.js";
import type { Gateway } from "./gateway.js";
import { HANDLERS } from "./handlers/index.js";
import { mayEnter } from "./limits/entrance.js";
import type { Admission, ClientSocket, Place, ResumeMode, SocketHandler } from "./ports.js";
import { Session } from "./session.js";

/** A client that authenticates by its first frame may go on at once; the check takes well under a millisecond. */
const MAX_EARLY_BYTES = 256 * 1024;
/** What it takes here to keep a frame, whatever it holds. */
const EARLY_FRAME_BYTES = 128;
const NO_TOKEN = "no token came in time: neither in Authorization, the subprotocol, access_token nor a first frame";

/** One socket, from its opening on: at first perhaps a stranger, then a session. */
export class Connection implements SocketHandler {
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #device: string | undefined;
  readonly #resume: ResumeMode;
  readonly #place: Place;
  #session: Session | undefined;
  #authTimer: NodeJS.Timeout | undefined;
  /** Frames that came while the first frame's token is being checked; undefined when none is. */
  #early: Uint8Array[] | undefined;
  #earlyBytes = 0;
  #closed = false;

  constructor(gateway: Gateway, socket: ClientSocket, { claims, device, resume, place }: Admission & { ok: true }) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#device = device;
    this.#resume = resume;
    this.#place = place;
    gateway.metrics.connections.inc();
    if (claims !== undefined) this.#begin(claims);
    else
      this.#authTimer = setTimeout(
        () => this.#refuse(new BimipError(ErrorCode.TIMED_OUT, NO_TOKEN)),
        gateway.limits.authTimeoutMs,
      );
  }

  onFrame(bytes: Uint8Array): void {
    if (this.#early === undefined) return this.#take(bytes);
    this.#early.push(bytes.slice());
    this.#earlyBytes += EARLY_FRAME_BYTES + bytes.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES)
      this.#refuse(new BimipError(ErrorCode.TOO_FAST, "too many bytes before the token was checked"));
  }

  #take(bytes: Uint8Array): void {
    const session = this.#session;
    const { rates, overload } = this.#gateway;
    const isWatched = session !== undefined && (rates !== undefined || overload.sheds);
    const peeked = isWatched ? peekKind(bytes) : undefined;
    if (isWatched && !mayEnter(this.#gateway, session, peeked, bytes)) return;
    const { maxStanzaBytes } = this.#gateway.limits;
    let frame: Frame;
    try {
      // The one copy of a frame: the transport takes its buffer back.
      frame = decodeFrame(bytes.length > maxStanzaBytes ? bytes : bytes.slice(), { maxStanzaBytes });
    } catch (error) {
      return this.#fail(BimipError.from(error));
    }
    const { stanza } = frame;
    this.#gateway.metrics.stanzas.inc({ kind: stanza.kind });
    // What did not say at once what it is was taken for something else.
    if (isWatched && stanza.kind !== peeked && !mayEnter(this.#gateway, session, stanza.kind, bytes)) return;
    const problem = validateStanza(stanza);
    if (problem !== undefined) return this.#fail(problem);
    if (session === undefined) return this.#authenticate(stanza);
    const impostor = fromAnother(stanza, session.eid);
    if (impostor !== undefined) return this.#fail(impostor);
    this.#dispatch(session, frame);
  }

  onDrain(): void {
    this.#session?.onDrain();
  }

  onClose(): void {
    this.#closed = true;
    clearTimeout(this.#authTimer);
    this.#place.leave();
    this.#gateway.metrics.connections.dec();
    this.#session?.end();
  }

  #dispatch(session: Session, frame: Frame): void {
    try {
      const { kind, value } = frame.stanza;
      // The table is typed row by row; a union of rows cannot be called with a union of values.
      const handle = HANDLERS[kind] as (g: Gateway, s: Session, v: typeof value, f: Frame) => void | Promise<void>;
      const work = handle(this.#gateway, session, value, frame);
      if (work instanceof Promise) void work.catch((error: unknown) => this.#failUnexpectedly(error));
    } catch (error) {
      this.#failUnexpectedly(error);
    }
  }

  #failUnexpectedly(error: unknown): void {
    if (!(error instanceof BimipError)) this.#gateway.logger.error({ err: error }, "stanza failed");
    this.#fail(BimipError.from(error));
  }

  #fail(error: BimipError): void {
    if (this.#session !== undefined) return this.#session.fail(error);
    // A stranger who does not begin with a good token frame is not talked to any longer.
    const { details, id } = error;
    this.#refuse(new BimipError(ErrorCode.NOT_AUTHENTICATED, details, { id }), error);
  }

  /** First frame of a connection without a token. */
  #authenticate(stanza: Stanza): void {
    this.#early = [];
    void enter(this.#gateway, stanza, this.#device).then(
      ({ claims, frame, renewed }) => {
        clearTimeout(this.#authTimer);
        if (this.#closed) return;
        const refusal = seat(this.#gateway, this.#place, claims, this.#socket.address);
        // Its refresh token is used up: shown again later, it would be taken for a thief's.
        if (refusal === undefined || renewed) this.#socket.send(frame);
        if (refusal !== undefined) return this.#leave(new BimipError(ErrorCode.TOO_FAST, refusal.details));
        this.#begin(claims);
        const early = this.#early ?? [];
        this.#early = undefined;
        for (const bytes of early) if (!this.#closed) this.#take(bytes);
      },
      (error: unknown) => this.#refuse(BimipError.from(error)),
    );
  }

  #begin(claims: Claims): void {
    const session = new Session(this.#gateway, this.#socket, claims);
    this.#session = session;
    session.begin(this.#resume).catch((error: unknown) => {
      this.#gateway.logger.warn({ err: error }, "session could not begin");
      this.#socket.close(CloseCode.DRAINING, "try again");
    });
  }

  /** @param cause what the audit hears, where it is more than the peer is told */
  #refuse(error: BimipError, cause = error): void {
    clearTimeout(this.#authTimer);
    if (this.#closed) return;
    if (error.code < ErrorCode.INTERNAL) this.#audit(cause);
    this.#leave(error);
  }

  /** Says why, and closes. */
  #leave(error: BimipError): void {
    const { code, details } = error;
    const isOurs = code >= ErrorCode.INTERNAL;
    this.#gateway.metrics.errors.inc({ code });
    this.#socket.send(errorFrame(error, isOurs ? ErrorOrigin.SERVER : ErrorOrigin.CLIENT));
    this.#socket.close(closeCode(code), details.slice(0, 100));
  }

  #audit(error: BimipError): void {
    const { code, details } = error;
    const { reason, eid, device } = tokenRefusal(error);
    const { address } = this.#socket;
    this.#gateway.audit.refused({ reason: reasonOf(code) ?? reason, code, eid, device, address, details });
  }
}

function closeCode(code: number): number {
  // It is for us to mend, so the client may come back with the same token.
  if (code >= ErrorCode.INTERNAL) return CloseCode.DRAINING;
  return code === ErrorCode.TOO_FAST ? CloseCode.ABUSE : CloseCode.TOKEN;
}

/** `from`: the server stamps it; another EID there is a lie. */
function fromAnother(stanza: Stanza, eid: string): BimipError | undefined {
  const { value } = stanza;
  const from = "from" in value ? value.from : undefined;
  if (from === undefined || from.eid === "" || from.eid === eid) return undefined;
  const field = `${stanzaName(stanza.kind)}.from.eid`;
  return new BimipError(ErrorCode.NOT_ALLOWED, `${field}: is not the EID of this session`, {
    field,
    id: stanzaId(stanza),
  });
}
