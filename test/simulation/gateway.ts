import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Claims } from "@bimip/auth";
import { call, createTurns, laneDepthFor, partitionOf, PROCEDURES, Publisher, scanLog } from "@bimip/nats";
import { GatewayAwareness } from "../../services/gateway/src/awareness/gateway-awareness.js";
import { Audit } from "../../services/gateway/src/audit.js";
import { Authenticator } from "../../services/gateway/src/authenticator.js";
import { Connection as GatewayConnection } from "../../services/gateway/src/connection.js";
import { Connections, NO_CONNECTION_LIMITS } from "../../services/gateway/src/door/connections.js";
import { FlowPolicy } from "../../services/gateway/src/flow-policy.js";
import type { Gateway } from "../../services/gateway/src/gateway.js";
import { LateResends } from "../../services/gateway/src/late-resend.js";
import { Abuse } from "../../services/gateway/src/limits/abuse.js";
import { Overload } from "../../services/gateway/src/limits/overload.js";
import { type RateLimits, Rates } from "../../services/gateway/src/limits/rates.js";
import type { ClientSocket } from "../../services/gateway/src/ports.js";
import { PositionCheck } from "../../services/gateway/src/position-check.js";
import { Progress } from "../../services/gateway/src/progress.js";
import { ReceiptsGiven } from "../../services/gateway/src/receipts-given.js";
import { Registrations } from "../../services/gateway/src/registration.js";
import { Revocations } from "../../services/gateway/src/revocations.js";
import { Users } from "../../services/gateway/src/users.js";
import { createEpochs, createReader } from "./log-reads.js";
import type { Nats } from "./nats.js";
import { NatsLink } from "./nats-link.js";
import { quietLogger, quietMetrics } from "./quiet.js";
import type { Connection, Listener } from "./sockets.js";
import { Process } from "./world.js";

/** How the simulated installation is configured. */
export interface GatewaySettings {
  readonly partitions: number;
  /** Copies of each stream: decides how deep the publisher's lanes are. */
  readonly replicas: number;
  readonly sendDeadlineMs: number;
  readonly dedupeWindowMs: number;
  /** Of a session. */
  readonly rates: Readonly<Partial<RateLimits>>;
}

const POSITION_CHECK_S = 35;
const RECEIPTS_TIMEOUT_MS = 2_000;
const STOP_WORK_MS = 5_000;

/** One gateway process: the real sessions, delivery, publisher and progress between simulated NATS and sockets. */
export class SimGateway implements Listener {
  readonly process: Process;
  readonly connections = new Set<Connection>();
  readonly link: NatsLink;
  readonly #nats: Nats;
  readonly #settings: GatewaySettings;
  #gateway: (Gateway & { draining: boolean }) | undefined;
  #positions: PositionCheck | undefined;
  readonly #work = new Set<Promise<void>>();
  readonly #connections = new Connections(NO_CONNECTION_LIMITS);

  constructor(nats: Nats, name: string, settings: GatewaySettings) {
    this.#nats = nats;
    this.#settings = settings;
    this.process = new Process(name);
    this.link = new NatsLink(nats, this.process);
    nats.world.schedule(this.process, 0, "start", () => this.#start());
  }

  /** What is left over after the stop; empty when all is well. */
  get leftOver(): string[] {
    const waiting = this.#gateway?.publisher.waiting ?? 0;
    return [
      ...this.link.leftOver,
      ...(waiting > 0 ? [`${waiting} appends`] : []),
      ...(this.#work.size > 0 ? [`${this.#work.size} works`] : []),
      ...[...(this.#gateway?.users.eids() ?? [])].map((eid) => `user ${eid}`),
    ];
  }

  admit(url: URL, token: string): ReturnType<Listener["admit"]> {
    const gateway = this.#gateway;
    if (gateway === undefined || gateway.draining) return { refuse: 503, text: "this gateway is draining, try again" };
    if (!gateway.link.up) return { refuse: 503, text: "NATS is away, try again" };
    const [eid = "", device = ""] = token.split("/");
    const claims: Claims = { eid, device, scopes: new Set<string>(), expiresAtMs: undefined } as unknown as Claims;
    const resume = url.searchParams.get("resume") === "manual" ? "manual" : "automatic";
    const place = this.#connections.enter("127.0.0.1");
    if (place.refused !== undefined) return { refuse: place.refused.status, text: place.refused.details };
    const admission = { ok: true, claims, device, resume, address: "127.0.0.1", place } as const;
    return { open: (socket: ClientSocket) => new GatewayConnection(gateway, socket, admission) };
  }

  /** kill -9. */
  kill(): void {
    this.process.alive = false;
    this.#nats.world.count("gateways killed");
    this.link.kill();
    for (const connection of this.connections) {
      connection.break(this.#nats.dice.chance(0.8) ? this.#nats.dice.between(0.1, 20) : undefined);
    }
  }

  /** As services/gateway/src/service.ts stops. */
  async stop(): Promise<void> {
    const gateway = this.#gateway;
    if (gateway === undefined) return;
    gateway.draining = true;
    for (const session of gateway.users.sessions()) session.close(4503, "draining, come back");
    this.#positions?.stop();
    await gateway.publisher.close();
    await gateway.progress.flush();
    await Promise.race([Promise.allSettled(this.#work), delay(STOP_WORK_MS)]);
    gateway.registrations.stop();
    gateway.awareness.stop();
    await this.link.drain();
  }

  #start(): void {
    const { link } = this;
    const { partitions, replicas, sendDeadlineMs, dedupeWindowMs } = this.#settings;
    const note = (line: () => string): void => this.#nats.world.note(() => `${this.process.name}: ${line()}`);
    const users = new Users(link);
    const reader = createReader(this.#nats, link, partitions);
    const epochs = createEpochs(this.#nats, link, partitions);
    const work = this.#work;
    const node = this.process.name;
    const process = randomUUID();
    const logger = quietLogger(note);
    const metrics: Gateway["metrics"] = quietMetrics((what) => this.#nats.world.count(what));
    const audit = new Audit(logger, metrics.refusals);
    // Nobody has contacts: no change is ever missed.
    const head = async (): Promise<number> => 1;
    // Nothing is revoked.
    const revocations = new Revocations({ users, logger, gauge: metrics.revocations });
    const awareness = new GatewayAwareness({ link, users, node, gateway: process, head, metrics, logger });
    this.#gateway = {
      node,
      process,
      partitions,
      limits: {
        maxStanzaBytes: 65_536,
        maxUnconfirmed: 4_096,
        maxPendingBytesPerSession: 4_194_304,
        maxPendingBytes: 268_435_456,
        sendDeadlineMs,
        authTimeoutMs: 5_000,
        webPushHosts: [],
      },
      link,
      publisher: new Publisher(link, { deadlineMs: sendDeadlineMs, laneDepth: laneDepthFor(replicas) }),
      reader,
      users,
      awareness,
      policy: new FlowPolicy(link, { partitions, freshMs: 1_000, deadlineMs: sendDeadlineMs }),
      registrations: new Registrations(),
      progress: new Progress({ link, flushMs: 250, onError: (error) => note(() => `progress: ${String(error)}`) }),
      lateResends: new LateResends({
        dedupeWindowMs,
        scan: (request) => scanLog(link, reader, { ...request, partitions }),
        epochOf: (eid) => epochs.of(eid),
      }),
      receiptsGiven: new ReceiptsGiven({
        dedupeWindowMs,
        ask: (eid) => call(link.nc, PROCEDURES.receipts, { eid }, RECEIPTS_TIMEOUT_MS),
      }),
      resumeInTurn: createTurns(64),
      authenticator: new Authenticator({
        verifier: { verify: () => Promise.reject(new Error("tokens come in the header")) },
        revocations: { current: true, refusal: () => undefined },
        link,
      }),
      revocations,
      audit,
      rates: ratesOf(this.#settings.rates),
      abuse: new Abuse({ refusals: 0, windowMs: 1_000, audit, metrics }),
      overload: new Overload({ lagMs: 0, memoryBytes: 0, onChange: () => undefined, onShed: () => undefined }),
      logger,
      metrics,
      pending: { bytes: 0 },
      draining: false,
      track(promise) {
        work.add(promise);
        void promise.finally(() => work.delete(promise));
      },
    };
    this.#positions = new PositionCheck({
      link,
      users,
      reader,
      roundS: POSITION_CHECK_S,
      partitionOf: (eid) => partitionOf(eid, partitions),
      onBehind: () => note(() => "a session was behind"),
      onError: (error) => note(() => `positions: ${String(error)}`),
    });
    link.onChange((up) => {
      if (!up) return;
      for (const session of users.sessions()) session.delivery.onDoubt("reconnect");
      awareness.onReturn();
    });
  }
}

const UNLIMITED: RateLimits = {
  messages: undefined,
  signals: undefined,
  awareness: undefined,
  location: undefined,
  other: undefined,
  bytes: undefined,
};
/** What a user may send, as a share of what a session may. */
const USER_SHARE = 1.5;

function ratesOf(limits: Readonly<Partial<RateLimits>>): Rates | undefined {
  const ofUser = Object.entries(limits).map(([limit, rate]) => [
    limit,
    rate && { perSecond: rate.perSecond * USER_SHARE, burst: Math.ceil(rate.burst * USER_SHARE) },
  ]);
  return Rates.of({ ...UNLIMITED, ...limits }, { ...UNLIMITED, ...Object.fromEntries(ofUser) });
}
