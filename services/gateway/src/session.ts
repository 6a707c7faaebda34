import { randomUUID } from "node:crypto";
import type { Claims } from "@bimip/auth";
import {
  BimipError,
  CloseCode,
  ErrorCode,
  ErrorOrigin,
  encodeIdentity,
  encodeIdentityPrefix,
  encodeStanza,
  entryTarget,
  errorFrame,
  isFrom,
  type Logout,
  LogoutType,
} from "@bimip/protocol";
import { alarmAt } from "@bimip/runtime";
import { createTurns, SUBJECTS, type Turns, partitionOf } from "@bimip/nats";
import { AwarenessRequests } from "./awareness/requests.js";
import { SessionAwareness } from "./awareness/session-awareness.js";
import { Delivery } from "./delivery.js";
import { Fence } from "./fence.js";
import { Outgoing } from "./handlers/outgoing.js";
import type { Gateway } from "./gateway.js";
import { Repeats } from "./late-resend.js";
import { Refused } from "./limits/abuse.js";
import { LogPlace } from "./log-place.js";
import { logoutFrame } from "./logout-frame.js";
import type { ClientSocket, ResumeMode } from "./ports.js";
import { ReceiptLine } from "./receipt-line.js";
import { Registration } from "./registration.js";
import type { RevokedBy } from "./revocations.js";

const ERROR_CODE_SERVER = 500;

/** What the device is told when its session ends because of a revocation. */
const REVOKED_DETAILS: Readonly<Record<RevokedBy, string>> = {
  jti: "token: was revoked",
  device: "the tokens of this device were revoked",
  user: "all tokens of the account were revoked",
};

/** One authenticated connection of one device. */
export class Session {
  readonly id = randomUUID();
  readonly eid: string;
  readonly device: string;
  readonly delivery: Delivery;
  /** Where the device stands in its log. */
  readonly log: LogPlace;
  /** What the device is told of the presence of others. */
  readonly awareness: SessionAwareness;
  /** Whether it is the newest session of its device. */
  readonly fence: Fence;
  /** Typing that waits for its flow decision. */
  typingUnderWay = 0;
  queriesUnderWay = 0;
  tokensUnderWay = 0;
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #registration: Registration;
  readonly #identityPrefix: Uint8Array;
  // Most sessions are idle: made when they are needed.
  #identity: Uint8Array | undefined;
  #outgoing: Outgoing | undefined;
  #receipts: ReceiptLine | undefined;
  #repeats: Repeats | undefined;
  #refused: Refused | undefined;
  #requests: AwarenessRequests | undefined;
  #inTokenTurn: Turns | undefined;
  #claims: Claims;
  #stopExpiry: (() => void) | undefined;
  /** Answers that revocations wait for. */
  #answering = 0;
  #closed = false;
  #fenced = false;

  constructor(gateway: Gateway, socket: ClientSocket, claims: Claims) {
    const { eid, device } = claims;
    this.#gateway = gateway;
    this.#socket = socket;
    this.#claims = claims;
    this.eid = eid;
    this.device = device;
    this.#identityPrefix = encodeIdentityPrefix(eid, device);
    this.delivery = new Delivery({
      eid,
      device,
      identityPrefix: this.#identityPrefix,
      socket,
      reader: gateway.reader,
      metrics: gateway.metrics,
      onBack: () => this.log.compare(),
      onError: (error) => gateway.logger.warn({ err: error }, "log not readable, trying again"),
    });
    this.log = new LogPlace(gateway, this);
    this.awareness = new SessionAwareness(gateway.awareness, socket, eid);
    this.fence = new Fence(this);
    gateway.revocations.hold(this);
    this.#armExpiry();
    this.#registration = new Registration(gateway, this);
  }

  /** Architecture's order at connect: subscribe live, flush, then read the log up to its head, then live. */
  async begin(resume: ResumeMode): Promise<void> {
    const reached = this.#gateway.users.add(this);
    this.log.begin(reached, resume);
    await reached;
  }

  /** What its token says; another token may take over. */
  get claims(): Claims {
    return this.#claims;
  }

  /** Another token of the same account and device takes over: what it says counts from now on, its expiry too. */
  renew(claims: Claims): void {
    if (this.#closed) return;
    const { revocations } = this.#gateway;
    revocations.release(this);
    this.#claims = claims;
    revocations.hold(this);
    this.#armExpiry();
  }

  /** Revocations leave the session alone for now: it is being answered. */
  get leaving(): boolean {
    return this.#answering > 0;
  }

  /**
   * For what may revoke this session's own token: `work` answers the device, and closes the session if it has to. Only then
   * revocations may end it.
   */
  async answerFirst(work: () => Promise<void>): Promise<void> {
    this.#answering++;
    try {
      await work();
    } finally {
      this.#answering--;
      this.#gateway.revocations.check(this);
    }
  }

  /** The log that this session's indexes belong to; 0 until storage has said. */
  get logEpoch(): number {
    return this.log.epoch;
  }

  /** Its indexes belong to another log from now on. */
  onOtherLog(): void {
    this.#repeats?.clear();
  }

  /** The peer's. */
  get address(): string {
    return this.#socket.address;
  }

  /** Stamped as `from` on what the device sends. */
  get identity(): Uint8Array {
    const { eid, device } = this;
    this.#identity ??= encodeIdentity({ eid, device, node: this.#gateway.node });
    return this.#identity;
  }

  /** Subject of the user's own log. */
  get logSubject(): string {
    return SUBJECTS.log(partitionOf(this.eid, this.#gateway.partitions), this.eid);
  }

  get outgoing(): Outgoing {
    this.#outgoing ??= new Outgoing();
    return this.#outgoing;
  }

  get receipts(): ReceiptLine {
    this.#receipts ??= new ReceiptLine(({ index, read }) => this.log.acknowledge(index, read));
    return this.#receipts;
  }

  /** What late repeats were looked for in. */
  get repeats(): Repeats {
    this.#repeats ??= new Repeats();
    return this.#repeats;
  }

  /** What is noted of stanzas that were refused. */
  get refused(): Refused {
    this.#refused ??= new Refused();
    return this.#refused;
  }

  /** What the device asks of awareness. */
  get requests(): AwarenessRequests {
    this.#requests ??= new AwarenessRequests(this.#gateway, this);
    return this.#requests;
  }

  /** What the device asks about tokens goes one after the other: the last word counts. */
  get inTokenTurn(): Turns {
    this.#inTokenTurn ??= createTurns(1);
    return this.#inTokenTurn;
  }

  /** The socket is gone. */
  get ended(): boolean {
    return this.#closed;
  }

  /** What HoldRequest says of the session; undefined: it is not registered yet, or has ended. */
  get held(): Registration["held"] | undefined {
    return this.#closed || !this.fence.registered ? undefined : this.#registration.held;
  }

  /** A stanza that is in no log. A device that cannot take it now never gets it. */
  onLiveStanza(frame: Uint8Array): void {
    if (this.#socket.congested || isFrom(frame, this.#identityPrefix)) return;
    const { device, eid } = entryTarget(frame);
    if (device === undefined || device === this.device || eid !== this.eid) this.#socket.send(frame);
  }

  send(frame: Uint8Array): void {
    this.#socket.send(frame);
  }

  /** Answers with an ErrorMessage; the session lives on, unless it was refused too much. */
  fail(error: BimipError): void {
    this.#gateway.metrics.errors.inc({ code: error.code });
    const origin = error.code >= ERROR_CODE_SERVER ? ErrorOrigin.SERVER : ErrorOrigin.CLIENT;
    this.#socket.send(errorFrame(error, origin));
    this.#gateway.abuse.note(this, error);
  }

  close(code: number, reason: string): void {
    if (!this.#closed) this.#socket.close(code, reason);
  }

  /** It was ended because it may not go on: what it did not get to the logs until then never gets there. */
  get fenced(): boolean {
    return this.#fenced;
  }

  /** A newer session of this device took over. */
  replace(): void {
    if (this.#closed) return;
    this.#fenced = true;
    this.#gateway.metrics.replaced.inc();
    this.#tellEnd("session replaced");
    const details = "replaced by a newer connection of the same device";
    this.#socket.send(logoutFrame(this, this.#gateway.node, { type: LogoutType.SESSION, details }));
    this.#socket.close(CloseCode.REPLACED, "replaced");
  }

  /** Another session logged this one out; its token is good for a new one. */
  logOut(logout: Logout): void {
    if (this.#closed) return;
    this.#fenced = true;
    this.#gateway.metrics.ended.inc({ reason: "logged_out" });
    this.#socket.send(encodeStanza("logout", logout));
    this.#socket.close(CloseCode.TOKEN, "logged out");
  }

  /** Its token was revoked, by its id, or with all tokens of the device or the account so far. */
  endRevoked(by: RevokedBy): void {
    if (this.#closed) return;
    this.#fenced = true;
    const { audit, metrics, node } = this.#gateway;
    const { eid, device, address } = this;
    const details = REVOKED_DETAILS[by];
    metrics.ended.inc({ reason: `revoked_${by}` });
    audit.refused({ reason: "revoked", code: CloseCode.TOKEN, eid, device, address, details });
    if (by === "jti") this.fail(new BimipError(ErrorCode.NOT_AUTHENTICATED, details));
    else {
      const type = by === "user" ? LogoutType.ACCOUNT : LogoutType.DEVICE;
      this.#socket.send(logoutFrame(this, node, { type, details }));
    }
    this.#socket.close(CloseCode.TOKEN, "token revoked");
  }

  /** The registry's answer to its registration; 0 = a newer session of the device is registered already. */
  onEpoch(epoch: number): void {
    this.fence.onEpoch(epoch);
  }

  /** What the registry knew is lost. */
  onAnew(): void {
    this.fence.onAnew();
    this.awareness.restart();
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    this.awareness.onDrain();
    this.delivery.onDrain();
  }

  /** The socket is gone. */
  end(): void {
    this.#closed = true;
    this.#gateway.rates?.forget(this.id);
    this.fence.trust(); // nobody is confirmed anything any more, but what waits for it ends
    this.#stopExpiry?.();
    this.#gateway.revocations.release(this);
    this.#receipts?.end();
    const receipts = this.#receipts?.drained();
    if (receipts !== undefined) this.#gateway.progress.ending(this.eid, this.device, receipts);
    if (this.#repeats !== undefined) this.#gateway.lateResends.end(this.#repeats);
    this.awareness.end();
    this.#requests?.end();
    this.log.end();
    this.delivery.close();
    this.#gateway.users.remove(this);
    this.#gateway.track(this.#registration.end());
  }

  /** Of what happens to good clients every day, and would flood the log. */
  #tellEnd(what: string): void {
    const { eid, device, address } = this;
    this.#gateway.logger.debug({ eid, device, address }, what);
  }

  #armExpiry(): void {
    this.#stopExpiry?.();
    const { expiresAtMs } = this.#claims;
    this.#stopExpiry = expiresAtMs === undefined ? undefined : alarmAt(expiresAtMs, () => this.#expire());
  }

  #expire(): void {
    this.#gateway.metrics.ended.inc({ reason: "expired" });
    this.#tellEnd("session ended: its token expired");
    this.fail(new BimipError(ErrorCode.NOT_AUTHENTICATED, "the token expired"));
    this.close(CloseCode.TOKEN, "token expired");
  }
}
