import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
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
import { call, PROCEDURES, SUBJECTS, partitionOf } from "@bimip/nats";
import { type CatchUpReason, Delivery } from "./delivery.js";
import type { Undecided } from "./handlers/message.js";
import type { Gateway } from "./gateway.js";
import type { Memory } from "./late-resend.js";
import type { ClientSocket, ResumeMode } from "./ports.js";
import { Registration } from "./registration.js";

const ERROR_CODE_SERVER = 500;
const STORED_CURSOR = 0n;
const EVERYTHING = -1n;
const RESUME_TIMEOUT_MS = 2_000;
const RESUME_RETRY_MS = [50, 100, 250, 500, 1_000] as const;
/** The longest timer that Node keeps, 24.8 days; a connection that old may as well authenticate anew. */
const MAX_TIMER_MS = 2_147_483_647;

/** What a RESUME asks for. */
export interface ResumeAsked {
  /** N = behind N, 0 = behind the stored cursor, -1 = everything retained, the device's own included. */
  readonly after: bigint;
  /** The Signal's, for the answer. */
  readonly id: string;
  /** The log that N is an index of; 0 = the device does not say. */
  readonly epoch: bigint;
}

/** One authenticated connection of one device. */
export class Session {
  readonly id = randomUUID();
  readonly eid: string;
  readonly device: string;
  readonly claims: Claims;
  /** Stamped as `from` on what the device sends. */
  readonly identity: Uint8Array;
  /** Subject of the user's own log. */
  readonly logSubject: string;
  readonly delivery: Delivery;
  /** Messages without their SENT yet. */
  unconfirmed = 0;
  /** What waits for a flow decision, per recipient, in order. */
  readonly undecided = new Map<string, Undecided[]>();
  /** Messages taken so far. */
  taken = 0;
  /** Recipients to whom something could not be stored: the earliest such message, and until when (performance.now) it is waited for. */
  readonly refusals = new Map<string, { readonly id: string; readonly order: number; readonly untilMs: number }>();
  /** Signals still being worked on; `tail` resolves, never rejects, once all receipts so far are on their way to the logs. */
  readonly signals = { underWay: 0, tail: Promise.resolve() };
  queriesUnderWay = 0;
  /** What late repeats were looked for in. */
  readonly repeats = new Map<string, Memory>();
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #registration: Registration;
  readonly #identityPrefix: Uint8Array;
  readonly #expiry: NodeJS.Timeout | undefined;
  #begun: Promise<void> = Promise.resolve();
  /** RESUMEs so far; only the newest is answered. */
  #asked = 0;
  #logEpoch = 0;
  #handedEpoch = 0;
  /** Handed over before the replay under way. */
  #handed = 0;
  #cursor = 0;
  #read = 0;
  #epoch = 0;
  #newestClaim = 0;
  #closed = false;

  constructor(gateway: Gateway, socket: ClientSocket, claims: Claims) {
    const { eid, device } = claims;
    this.#gateway = gateway;
    this.#socket = socket;
    this.claims = claims;
    this.eid = eid;
    this.device = device;
    this.identity = encodeIdentity({ eid, device, node: gateway.node });
    this.logSubject = SUBJECTS.log(partitionOf(eid, gateway.partitions), eid);
    this.#identityPrefix = encodeIdentityPrefix(eid, device);
    this.delivery = new Delivery({
      eid,
      device,
      identityPrefix: this.#identityPrefix,
      socket,
      reader: gateway.reader,
      metrics: gateway.metrics,
      onError: (error) => gateway.logger.warn({ err: error }, "log not readable, trying again"),
    });
    if (claims.expiresAtMs !== undefined) {
      const leftMs = Math.min(claims.expiresAtMs - Date.now(), MAX_TIMER_MS);
      this.#expiry = setTimeout(() => this.#expire(), Math.max(leftMs, 0));
    }
    this.#registration = new Registration({
      link: gateway.link,
      registrations: gateway.registrations,
      eid,
      device,
      node: gateway.node,
      sessionId: this.id,
      address: socket.address,
      onEpoch: (epoch) => this.#onEpoch(epoch),
    });
  }

  /** Architecture's order at connect: subscribe live, flush, then read the log up to its head, then live. */
  async begin(resume: ResumeMode): Promise<void> {
    this.#begun = this.#gateway.users.add(this);
    await this.#begun;
    const answer = await this.#ask(STORED_CURSOR); // manual or not: storage hears of the device
    if (answer !== undefined && resume === "automatic") this.#replay(answer, "connect", { id: "", withOwn: false });
  }

  /** Resolves once live copies reach this session: nothing may be read from the log before. */
  get begun(): Promise<void> {
    return this.#begun;
  }

  /** The log that this session's indexes belong to; 0 until storage has said. */
  get logEpoch(): number {
    return this.#logEpoch;
  }

  /** Index up to which the log was handed over. */
  get handed(): number {
    return Math.max(this.#handed, this.delivery.position);
  }

  /**
   * RESUME on request. Behind the head, or of another log than today's: the same Signal comes back with type 3; storage
   * away: goes on when it is back.
   */
  async resume({ after, id, epoch }: ResumeAsked): Promise<void> {
    await this.#begun;
    const answer = await this.#ask(after, epoch);
    if (answer === undefined) return;
    if (!answer.beyondHead) return this.#replay(answer, "resume", { id, withOwn: after === EVERYTHING });
    const signal = create(SignalSchema, {
      id,
      type: SignalType.ERROR,
      status: SignalStatus.RESUME,
      monotonicId: after,
      timestamp: BigInt(Date.now()),
      details: answer.details,
      firstId: answer.firstId,
      epoch: answer.epoch,
    });
    this.send(encodeStanza("signal", signal));
  }

  /** Moves the device's cursor: cumulative, never back, at most to what was handed over. */
  acknowledge(index: number, options: { read?: boolean } = {}): void {
    const cursor = Math.min(index, this.handed);
    const read = options.read === true ? cursor : 0;
    if (cursor <= this.#cursor && read <= this.#read) return;
    this.#cursor = Math.max(cursor, this.#cursor);
    this.#read = Math.max(read, this.#read);
    this.#gateway.progress.device(this, { cursor: this.#cursor, read: this.#read, handed: this.handed });
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

  /** The registry's word on which session of this device is the newest. */
  onClaim(claim: SessionClaim): void {
    if (claim.sessionId === this.id) return;
    this.#newestClaim = Math.max(this.#newestClaim, Number(claim.epoch));
    this.#yieldToNewer();
  }

  /** The socket is gone. */
  end(): void {
    this.#closed = true;
    clearTimeout(this.#expiry);
    // Seen only once it was told what may be gone: an expired log is known by how long a device was away.
    if (this.delivery.announced) this.#gateway.progress.device(this, { handed: this.handed }, true);
    this.delivery.close();
    this.#gateway.users.remove(this);
    this.#gateway.track(this.#registration.end());
  }

  /** Asks storage until it answers; undefined when the session ended or a newer RESUME came meanwhile. */
  async #ask(after: bigint, epoch = 0n): Promise<ResumeResponse | undefined> {
    const { link, progress, logger } = this.#gateway;
    const asked = ++this.#asked;
    const { eid, device } = this;
    for (let attempt = 0; ; attempt++) {
      try {
        await progress.settled(eid, device); // an earlier session's last acknowledgements
        const request = { eid, device, after, epoch, timestamp: BigInt(Date.now()) };
        const answer = await call(link.nc, PROCEDURES.resume, request, RESUME_TIMEOUT_MS);
        if (this.#closed || asked !== this.#asked) return undefined;
        this.#logEpoch = Number(answer.epoch);
        return answer;
      } catch (error) {
        if (this.#closed || asked !== this.#asked) return undefined;
        logger.warn({ err: error }, "storage did not say where to go on, trying again");
        await delay(RESUME_RETRY_MS[Math.min(attempt, RESUME_RETRY_MS.length - 1)] ?? 0);
      }
    }
  }

  #replay(answer: ResumeResponse, reason: CatchUpReason, asked: { id: string; withOwn: boolean }): void {
    const { after, firstId, epoch, details } = answer;
    this.#handed = Number(epoch) === this.#handedEpoch ? this.handed : 0;
    this.#handedEpoch = Number(epoch);
    const start = { after: Number(after), firstId: Number(firstId), epoch: Number(epoch), details, ...asked };
    this.delivery.start(start, reason);
  }

  #expire(): void {
    this.fail(new BimipError(ErrorCode.NOT_AUTHENTICATED, "the token expired"));
    this.close(CloseCode.TOKEN, "token expired");
  }

  #onEpoch(epoch: number): void {
    if (epoch === 0) return this.replace();
    this.#epoch = epoch;
    this.#yieldToNewer();
  }

  #yieldToNewer(): void {
    if (this.#epoch > 0 && this.#newestClaim > this.#epoch) this.replace();
  }
}
