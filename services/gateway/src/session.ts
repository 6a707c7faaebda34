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
  errorFrame,
  IdentitySchema,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
  type SessionClaim,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { SUBJECTS, partitionOf } from "@bimip/nats";
import { Delivery } from "./delivery.js";
import type { Undecided } from "./handlers/message.js";
import type { Gateway } from "./gateway.js";
import type { ClientSocket, ResumeMode } from "./ports.js";
import { Registration } from "./registration.js";

const ERROR_CODE_SERVER = 500;
/** The longest timer that Node keeps, 24.8 days; a connection that old may as well authenticate anew. */
const MAX_TIMER_MS = 2_147_483_647;

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
  /** Recipients to whom something could not be stored: until when (performance.now) what follows is refused as well. */
  readonly refusedUntilMs = new Map<string, number>();
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #registration: Registration;
  readonly #expiry: NodeJS.Timeout | undefined;
  #begun: Promise<void> = Promise.resolve();
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
    this.delivery = new Delivery({
      eid,
      device,
      identityPrefix: encodeIdentityPrefix(eid, device),
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
    if (resume === "automatic" && this.delivery.idle) this.delivery.start(0, "connect");
  }

  /** Resolves once live copies reach this session: nothing may be read from the log before. */
  get begun(): Promise<void> {
    return this.#begun;
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
    this.delivery.close();
    this.#gateway.users.remove(this);
    this.#gateway.track(this.#registration.end());
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
