import { randomUUID } from "node:crypto";
import type { Claims } from "@bimip/auth";
import {
  type BimipError,
  CloseCode,
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
import type { Gateway } from "./gateway.js";
import type { ClientSocket, ResumeMode } from "./ports.js";
import { Registration } from "./registration.js";

const ERROR_CODE_SERVER = 500;

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
  /** Tail of what waits for a flow decision, per recipient: order is kept. */
  readonly undecided = new Map<string, Promise<void>>();
  readonly #gateway: Gateway;
  readonly #socket: ClientSocket;
  readonly #registration: Registration;
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
    this.#registration = new Registration({
      link: gateway.link,
      eid,
      device,
      node: gateway.node,
      sessionId: this.id,
      address: socket.address,
      onEpoch: (epoch) => this.#onEpoch(epoch),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Architecture's order at connect: subscribe live, flush, then read the log up to its head, then live. */
  async begin(resume: ResumeMode): Promise<void> {
    await this.#gateway.users.add(this);
    if (resume === "automatic") this.delivery.start(0, "connect");
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
    this.delivery.close();
    this.#gateway.users.remove(this);
    this.#gateway.track(this.#registration.end());
  }

  #onEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#yieldToNewer();
  }

  #yieldToNewer(): void {
    if (this.#epoch > 0 && this.#newestClaim > this.#epoch) this.replace();
  }
}
