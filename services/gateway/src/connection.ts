import type { Claims } from "@bimip/auth";
import {
  BimipError,
  CloseCode,
  decodeFrame,
  ErrorCode,
  ErrorOrigin,
  encodeStanza,
  errorFrame,
  type Frame,
  IdentitySchema,
  type Stanza,
  stanzaId,
  stanzaName,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
  validateStanza,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Gateway } from "./gateway.js";
import { HANDLERS } from "./handlers/index.js";
import type { Admission, ClientSocket, ResumeMode, SocketHandler } from "./ports.js";
import { Session } from "./session.js";

/** A client that authenticates by its first frame may go on at once; the check takes well under a millisecond. */
const MAX_EARLY_BYTES = 256 * 1024;

/** One socket, from its opening on: at first perhaps a stranger, then a session. */
export class Connection implements SocketHandler {
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #device: string | undefined;
  readonly #resume: ResumeMode;
  #session: Session | undefined;
  #authTimer: NodeJS.Timeout | undefined;
  /** Frames that came while the first frame's token is being checked; undefined when none is. */
  #early: Uint8Array[] | undefined;
  #earlyBytes = 0;
  #closed = false;

  constructor(gateway: Gateway, socket: ClientSocket, { claims, device, resume }: Admission & { ok: true }) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#device = device;
    this.#resume = resume;
    gateway.metrics.connections.inc();
    if (claims !== undefined) this.#begin(claims);
    else
      this.#authTimer = setTimeout(
        () => this.#refuse(ErrorCode.TIMED_OUT, "no token came in time"),
        gateway.limits.authTimeoutMs,
      );
  }

  onFrame(bytes: Uint8Array): void {
    if (this.#early === undefined) return this.#take(bytes);
    this.#early.push(bytes);
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES)
      this.#refuse(ErrorCode.TOO_FAST, "too many bytes before the token was checked");
  }

  #take(bytes: Uint8Array): void {
    let frame: Frame;
    try {
      frame = decodeFrame(bytes, { maxStanzaBytes: this.#gateway.limits.maxStanzaBytes });
    } catch (error) {
      return this.#fail(BimipError.from(error));
    }
    const { stanza } = frame;
    this.#gateway.metrics.stanzas.inc({ kind: stanza.kind });
    const problem = validateStanza(stanza);
    if (problem !== undefined) return this.#fail(problem);
    if (this.#session === undefined) return this.#authenticate(stanza);
    const impostor = fromAnother(stanza, this.#session.eid);
    if (impostor !== undefined) return this.#fail(impostor);
    this.#dispatch(this.#session, frame);
  }

  onDrain(): void {
    this.#session?.onDrain();
  }

  onClose(): void {
    this.#closed = true;
    clearTimeout(this.#authTimer);
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
    this.#refuse(ErrorCode.NOT_AUTHENTICATED, error.details, error.id);
  }

  /** First frame of a connection without a token: TokenAuthority AUTHENTICATE. */
  #authenticate(stanza: Stanza): void {
    if (stanza.kind !== "tokenAuthority" || stanza.value.task !== TokenTask.AUTHENTICATE) {
      return this.#refuse(
        ErrorCode.NOT_AUTHENTICATED,
        "the first stanza must be TokenAuthority with task 4 AUTHENTICATE",
      );
    }
    this.#early = [];
    const { token, id } = stanza.value;
    const device = this.#device;
    void this.#gateway.verifier.verify(token, device === undefined ? {} : { device }).then(
      (claims) => {
        clearTimeout(this.#authTimer);
        if (this.#closed) return;
        this.#socket.send(encodeStanza("tokenAuthority", authenticated(claims, this.#gateway.node, id)));
        this.#begin(claims);
        const early = this.#early ?? [];
        this.#early = undefined;
        for (const bytes of early) this.#take(bytes);
      },
      (error: unknown) =>
        this.#refuse(ErrorCode.NOT_AUTHENTICATED, error instanceof Error ? error.message : "bad token", id),
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

  #refuse(code: number, details: string, id?: string): void {
    clearTimeout(this.#authTimer);
    if (this.#closed) return;
    this.#gateway.metrics.errors.inc({ code });
    this.#socket.send(errorFrame(new BimipError(code, details, id === undefined ? {} : { id }), ErrorOrigin.CLIENT));
    this.#socket.close(CloseCode.TOKEN, details.slice(0, 100));
  }
}

function authenticated(claims: Claims, node: string, id: string) {
  return create(TokenAuthoritySchema, {
    to: create(IdentitySchema, { eid: claims.eid, connectionResourceId: claims.device, node }),
    type: TokenType.RESULT,
    task: TokenTask.AUTHENTICATE,
    timestamp: BigInt(Date.now()),
    expiresAt: BigInt(claims.expiresAtMs ?? 0),
    id,
  });
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
