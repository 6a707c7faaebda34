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
  IdentitySchema,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
  type ResumeResponse,
  type SessionClaim,
  SignalSchema,
  SignalStatus,
  SignalType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { alarmAt } from "@bimip/runtime";
import { call, PROCEDURES, SUBJECTS, partitionOf } from "@bimip/nats";
import { AwarenessRequests } from "./awareness/requests.js";
import { SessionAwareness } from "./awareness/session-awareness.js";
import { Waiting } from "./awareness/waiting.js";
import { Delivery } from "./delivery.js";
import type { CatchUpReason } from "./delivery-options.js";
import { Outgoing } from "./handlers/outgoing.js";
import type { Gateway } from "./gateway.js";
import { Repeats } from "./late-resend.js";
import type { ClientSocket, ResumeMode } from "./ports.js";
import { ReceiptLine } from "./receipt-line.js";
import { Registration } from "./registration.js";
import { type ResumeAsked, ResumeLine } from "./resume-line.js";

const ERROR_CODE_SERVER = 500;
/** Behind the stored cursor; nobody waits for the answer by an id. */
const STORED_CURSOR: ResumeAsked = { after: 0n, id: "", epoch: 0n };
const EVERYTHING = -1n;
const RESUME_TIMEOUT_MS = 2_000;

/** What the device has of one log. Nothing of it holds in another one. */
interface Standing {
  /** The log; 0 until storage has said. */
  readonly epoch: number;
  /** Handed over up to here before the replay under way, by this session or an earlier one. */
  handed: number;
  cursor: number;
  read: number;
}

/** One authenticated connection of one device. */
export class Session {
  readonly id = randomUUID();
  readonly eid: string;
  readonly device: string;
  readonly claims: Claims;
  readonly delivery: Delivery;
  /** What the device is told of the presence of others. */
  readonly awareness: SessionAwareness;
  /** Typing that waits for its flow decision. */
  typingUnderWay = 0;
  queriesUnderWay = 0;
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #registration: Registration;
  readonly #identityPrefix: Uint8Array;
  // Most sessions are idle: made when they are needed.
  #identity: Uint8Array | undefined;
  #outgoing: Outgoing | undefined;
  #receipts: ReceiptLine | undefined;
  #repeats: Repeats | undefined;
  #requests: AwarenessRequests | undefined;
  #resumes: ResumeLine | undefined;
  #logKnown: Waiting | undefined;
  #stopExpiry: (() => void) | undefined;
  /** Resolves once live copies reach this session: nothing may be read from the log before. */
  #begun: Promise<void> = Promise.resolve();
  #standing: Standing = { epoch: 0, handed: 0, cursor: 0, read: 0 };
  #comparesLog = false;
  #claimEpoch = 0;
  #newestClaim = 0;
  #closed = false;

  constructor(gateway: Gateway, socket: ClientSocket, claims: Claims) {
    const { eid, device } = claims;
    this.#gateway = gateway;
    this.#socket = socket;
    this.claims = claims;
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
      onBack: () => this.#compareLog(),
      onError: (error) => gateway.logger.warn({ err: error }, "log not readable, trying again"),
    });
    this.awareness = new SessionAwareness(gateway.awareness, socket, eid);
    if (claims.expiresAtMs !== undefined) this.#stopExpiry = alarmAt(claims.expiresAtMs, () => this.#expire());
    this.#registration = new Registration(gateway, this);
  }

  /** Architecture's order at connect: subscribe live, flush, then read the log up to its head, then live. */
  async begin(resume: ResumeMode): Promise<void> {
    this.#begun = this.#gateway.users.add(this);
    // Manual or not: storage hears of the device.
    this.#resumeLine.addOwn(STORED_CURSOR, (answer) => {
      this.#enter(answer);
      if (resume === "automatic") this.#replay(answer, "connect", { id: "", withOwn: false });
    });
    await this.#begun;
  }

  /** The log that this session's indexes belong to; 0 until storage has said. */
  get logEpoch(): number {
    return this.#standing.epoch;
  }

  /** Resolves once storage has said which log the device's indexes belong to. Not at all when the session ends before. */
  get logKnown(): Promise<unknown> {
    if (this.#standing.epoch > 0) return Promise.resolve();
    this.#logKnown ??= new Waiting();
    return this.#logKnown.until();
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
    this.#receipts ??= new ReceiptLine(({ index, read }) => this.#acknowledge(index, read));
    return this.#receipts;
  }

  /** What late repeats were looked for in. */
  get repeats(): Repeats {
    this.#repeats ??= new Repeats();
    return this.#repeats;
  }

  /** What the device asks of awareness. */
  get requests(): AwarenessRequests {
    this.#requests ??= new AwarenessRequests(this.#gateway, this);
    return this.#requests;
  }

  /** The socket is gone. */
  get ended(): boolean {
    return this.#closed;
  }

  /** What HoldRequest says of the session; undefined: it is not registered yet, or has ended. */
  get held(): Registration["held"] | undefined {
    return this.#closed || this.#claimEpoch === 0 ? undefined : this.#registration.held;
  }

  /** Index up to which the log was handed over. */
  get handed(): number {
    const { epoch, handed } = this.#standing;
    return this.delivery.epoch === epoch ? Math.max(handed, this.delivery.position) : handed;
  }

  /**
   * RESUME on request. Behind the head, of another log than today's, or overtaken by a newer one: the same Signal comes
   * back with type 3; storage away: goes on when it is back.
   */
  resume(asked: ResumeAsked): void {
    const { after, id } = asked;
    this.#resumeLine.add(asked, (answer) => {
      this.#enter(answer);
      if (answer.beyondHead) this.#refuseResume(after, id, answer.details, answer);
      else this.#replay(answer, "resume", { id, withOwn: after === EVERYTHING });
    });
  }

  /** Moves the device's cursor: cumulative, never back, at most to what was handed over. */
  #acknowledge(index: number, isRead: boolean): void {
    const standing = this.#standing;
    const cursor = Math.min(index, this.handed);
    const read = isRead ? cursor : 0;
    if (cursor <= standing.cursor && read <= standing.read) return;
    standing.cursor = Math.max(cursor, standing.cursor);
    standing.read = Math.max(read, standing.read);
    const { atHead } = this.delivery;
    this.#gateway.progress.device(this, {
      cursor: standing.cursor,
      read: standing.read,
      handed: this.handed,
      seen: atHead,
    });
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

  /** Answers with an ErrorMessage; the session lives on. */
  fail(error: BimipError): void {
    this.#gateway.metrics.errors.inc({ code: error.code });
    const origin = error.code >= ERROR_CODE_SERVER ? ErrorOrigin.SERVER : ErrorOrigin.CLIENT;
    this.#socket.send(errorFrame(error, origin));
  }

  close(code: number, reason: string): void {
    if (!this.#closed) this.#socket.close(code, reason);
  }

  /** A newer session of this device took over. */
  replace(): void {
    if (this.#closed) return;
    this.#gateway.metrics.replaced.inc();
    const logout = create(LogoutSchema, {
      to: create(IdentitySchema, { eid: this.eid, connectionResourceId: this.device, node: this.#gateway.node }),
      type: LogoutType.SESSION,
      status: LogoutStatus.SUCCESS,
      timestamp: BigInt(Date.now()),
      details: "replaced by a newer connection of the same device",
    });
    this.#socket.send(encodeStanza("logout", logout));
    this.#socket.close(CloseCode.REPLACED, "replaced");
  }

  /** The registry's answer to its registration; 0 = a newer session of the device is registered already. */
  onEpoch(epoch: number): void {
    if (epoch === 0) return this.replace();
    this.#claimEpoch = Math.max(this.#claimEpoch, epoch);
    this.#yieldToNewer();
    this.awareness.begin(epoch);
  }

  /** The registry's word on which session of this device is the newest. */
  onClaim(claim: SessionClaim): void {
    if (claim.sessionId === this.id) return this.#renewEpoch(Number(claim.epoch));
    this.#newestClaim = Math.max(this.#newestClaim, Number(claim.epoch));
    this.#yieldToNewer();
  }

  /** What the registry knew is lost: it numbers sessions from the beginning. */
  onAnew(): void {
    this.#claimEpoch = Math.min(this.#claimEpoch, 1);
    this.#newestClaim = 0;
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
    this.#stopExpiry?.();
    this.#receipts?.end();
    this.awareness.end();
    this.#requests?.end();
    // Seen only once it was told what may be gone: an expired log is known by how long a device was away.
    const { announced, atHead } = this.delivery;
    if (announced) this.#gateway.progress.device(this, { handed: this.handed, seen: atHead }, true);
    this.delivery.close();
    this.#gateway.users.remove(this);
    this.#gateway.track(this.#registration.end());
  }

  get #resumeLine(): ResumeLine {
    const { logger } = this.#gateway;
    this.#resumes ??= new ResumeLine({
      ask: (asked) => this.#ask(asked),
      isClosed: () => this.#closed,
      onOvertaken: ({ after, id }) => this.#refuseResume(after, id, "overtaken by a newer RESUME"),
      onError: (error) => logger.warn({ err: error }, "storage did not say where to go on, trying again"),
      onIdle: () => {
        this.#resumes = undefined;
      },
    });
    return this.#resumes;
  }

  async #ask({ after, epoch }: ResumeAsked): Promise<ResumeResponse> {
    const { link, progress, resumeInTurn } = this.#gateway;
    const { eid, device } = this;
    await this.#begun;
    return resumeInTurn(async () => {
      await progress.settled(eid, device); // an earlier session's last acknowledgements
      const request = { eid, device, after, epoch, timestamp: BigInt(Date.now()) };
      return call(link.nc, PROCEDURES.resume, request, RESUME_TIMEOUT_MS);
    });
  }

  /** Takes note of the log that storage speaks of. */
  #enter({ epoch, handed }: ResumeResponse): void {
    const before = this.handed;
    if (Number(epoch) === this.#standing.epoch) {
      this.#standing.handed = Math.max(before, Number(handed));
      return;
    }
    this.#standing = { epoch: Number(epoch), handed: Number(handed), cursor: 0, read: 0 };
    this.#repeats?.clear();
    this.#logKnown?.resolve();
  }

  #replay(answer: ResumeResponse, reason: CatchUpReason, asked: { id: string; withOwn: boolean }): void {
    const { after, firstId, epoch, details } = answer;
    const start = { after: Number(after), firstId: Number(firstId), epoch: Number(epoch), details, ...asked };
    const overtaken = this.delivery.start(start, reason);
    if (overtaken !== "") this.#refuseResume(after, overtaken, "overtaken by a newer RESUME");
  }

  /** The log's head lies before what was handed over: it may be another log. */
  #compareLog(): void {
    if (this.#comparesLog) return;
    this.#comparesLog = true;
    this.#resumeLine.addOwn(STORED_CURSOR, (answer) => {
      this.#comparesLog = false;
      const isAnother = Number(answer.epoch) !== this.delivery.epoch;
      this.#enter(answer);
      if (isAnother) this.#replay(answer, "recreated", { id: "", withOwn: false });
    });
  }

  #refuseResume(after: bigint, id: string, details: string, log?: { firstId: bigint; epoch: bigint }): void {
    const signal = create(SignalSchema, {
      id,
      type: SignalType.ERROR,
      status: SignalStatus.RESUME,
      monotonicId: after,
      timestamp: BigInt(Date.now()),
      details,
      firstId: log?.firstId ?? 0n,
      epoch: log?.epoch ?? BigInt(this.#standing.epoch),
    });
    this.send(encodeStanza("signal", signal));
  }

  #expire(): void {
    this.fail(new BimipError(ErrorCode.NOT_AUTHENTICATED, "the token expired"));
    this.close(CloseCode.TOKEN, "token expired");
  }

  /** A session that was taken for ended is registered again, later than others that came and went meanwhile. */
  #renewEpoch(epoch: number): void {
    if (this.#claimEpoch === 0 || epoch <= this.#claimEpoch) return;
    this.#claimEpoch = epoch;
    this.awareness.renew(epoch);
  }

  #yieldToNewer(): void {
    if (this.#claimEpoch > 0 && this.#newestClaim > this.#claimEpoch) this.replace();
  }
}
