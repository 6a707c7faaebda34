import {
  BimipError,
  ErrorCode,
  type Identity,
  type Logout,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { checkedFrame } from "../checked-frame.js";
import { randomId } from "../random-id.js";
import { Requests, type RequestsOptions } from "../requests.js";

/** What is to be logged out; nothing: this device. At most one of `device`, `session`, `everywhere`. */
export interface LogoutOptions {
  /** This device of the account: its tokens of up to now are refused from now on, and its connection ends. */
  readonly device?: string;
  /** The open connection of this device, as Query SESSIONS lists it; its tokens stay good. */
  readonly session?: string;
  /** All devices of the account. */
  readonly everywhere?: boolean;
  /** Another account; needs a token with scope `admin`, and one of the others. */
  readonly eid?: string;
}

/** Who asks. */
export interface Self {
  /** "" = not known. */
  readonly eid: string;
  readonly device: string;
}

/** A Logout to be asked for. */
export interface LogoutRequest {
  readonly type: LogoutType;
  readonly eid: string;
  /** "" = of the whole account. */
  readonly device: string;
  /** It ends this client. */
  readonly own: boolean;
  /** Tokens are refused afterwards. */
  readonly revokes: boolean;
}

/** Throws a BimipError 422 for options that exclude each other. */
export function toLogoutRequest(options: LogoutOptions, self: Self): LogoutRequest {
  const { device, session, everywhere = false, eid = self.eid } = options;
  const given = [device, session, everywhere || undefined].filter((value) => value !== undefined);
  if (given.length > 1) throw wrong("device, session and everywhere exclude each other");
  const isOther = eid !== self.eid;
  if (isOther && given.length === 0) throw wrong("eid is another account's: say device, session or everywhere");
  if (everywhere) return { type: LogoutType.ACCOUNT, eid, device: "", own: !isOther, revokes: true };
  const name = device ?? session ?? self.device;
  const type = session === undefined ? LogoutType.DEVICE : LogoutType.SESSION;
  const own = !isOther && (given.length === 0 || name === self.device);
  return { type, eid, device: name, own, revokes: type === LogoutType.DEVICE };
}

/** The Logouts that this client asks for. Their answers have no id, so one is asked for after the other. */
export class Logouts {
  readonly #requests: Requests<undefined>;
  readonly #self: () => Self;
  readonly #onLeft: () => void;
  #turn: Promise<void> = Promise.resolve();
  #current: { readonly id: string; readonly request: LogoutRequest } | undefined;

  /** @param onLeft this client was logged out as it asked: the connection is about to end */
  constructor(options: Omit<RequestsOptions, "name">, self: () => Self, onLeft: () => void) {
    this.#requests = new Requests({ ...options, name: "logout" });
    this.#self = self;
    this.#onLeft = onLeft;
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#requests.underWay;
  }

  /** Rejects with a BimipError: what the server said, or when the time is over 429 or 503, 408. */
  ask(request: LogoutRequest): Promise<void> {
    const frame = frameOf(request);
    const done = this.#turn.then(async () => {
      const id = randomId();
      this.#current = { id, request };
      try {
        await this.#requests.start({ id, frame });
      } finally {
        this.#current = undefined;
      }
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#requests.open(send);
  }

  interrupt(): void {
    this.#requests.interrupt();
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    // The answer was lost with the connection, and the next one is refused for what was asked: so it was done.
    const current = this.#current;
    if (current?.request.own === true && error.details.includes("revoked"))
      this.#requests.answer(current.id, undefined);
    this.#requests.abandon(error);
  }

  /** The server's word. true if it answers what was asked here; false: it came by itself. */
  take({ type, status, details, to }: Logout): boolean {
    const current = this.#current;
    if (current === undefined || type !== current.request.type || !this.#isOf(current.request, to)) return false;
    if (status === LogoutStatus.FAILED) return this.#requests.refuse(failureOf(details, current.id));
    const { own } = current.request;
    const { eid, device } = this.#self();
    const isAboutUs = to?.eid === eid && to.connectionResourceId === device;
    if (isAboutUs && !own) return false;
    if (own) this.#onLeft();
    return this.#requests.answer(current.id, undefined);
  }

  /** Whether a Logout speaks of what was asked, and not of what was asked before and given up. */
  #isOf({ type, eid, device, own }: LogoutRequest, to: Identity | undefined): boolean {
    if (to === undefined) return true;
    const self = this.#self();
    if (to.eid !== (eid || self.eid)) return false;
    return type === LogoutType.ACCOUNT || to.connectionResourceId === (own ? self.device : device);
  }

  /** An error without an id. true if it can only be about what was asked here, or asks to try again. */
  refuse(error: BimipError): boolean {
    const current = this.#current;
    if (current === undefined || (error.id ?? "") !== "") return false;
    // A cursor's, which has no id either.
    if (error.details.startsWith("signal: ")) return false;
    const passes = error.code === ErrorCode.TOO_FAST || error.code === ErrorCode.TRY_AGAIN;
    if (!passes && !error.details.startsWith("logout")) return false;
    return this.#requests.refuse(new BimipError(error.code, error.details, { id: current.id, cause: error }));
  }
}

function frameOf({ type, eid, device, own }: LogoutRequest): Uint8Array {
  const to =
    own && type !== LogoutType.SESSION ? {} : { to: { eid, ...(device !== "" && { connectionResourceId: device }) } };
  const timestamp = BigInt(Date.now());
  return checkedFrame("logout", create(LogoutSchema, { type, status: LogoutStatus.INITIATED, timestamp, ...to }));
}

/** FAILED says why in words, with a code in front where there is one: `503: …`. */
function failureOf(details: string, id: string): BimipError {
  const match = /^(\d{3}): (.*)$/s.exec(details);
  const [code, text] = [Number(match?.[1] ?? ErrorCode.UNKNOWN), match?.[2] ?? details];
  return new BimipError(code, text === "" ? "logout: failed" : text, { id });
}

function wrong(details: string): BimipError {
  return new BimipError(ErrorCode.FIELD_WRONG, `logout: ${details}`, { field: "logout" });
}
