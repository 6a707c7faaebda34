import { developmentLimits } from "@bimip/devstack";
import { createGateway, readConfig as readGatewayConfig } from "@bimip/gateway";
import { issueToken } from "@bimip/auth";
import { connectNats, type Link, type Procedure, PROCEDURES, QUEUES, serve, SUBJECTS } from "@bimip/nats";
import {
  AwarenessFanoutSchema,
  AwarenessSchema,
  type AwarenessVisibilityResSchema,
  type ContactResponseSchema,
  type AwarenessRequest,
  type AwarenessResponseSchema,
  type ContactRequest,
  type HoldRequest,
  IdentitySchema,
  type LocationRequest,
  type LocationResponseSchema,
  type SessionEvent,
  type SnapshotRequest,
  type SnapshotResponseSchema,
  type VisibilityRequest,
} from "@bimip/protocol";
import { createRouter, readConfig as readRouterConfig } from "@bimip/router";
import { createHealth, createLogger, createMetrics, type RunningService, type ServiceContext } from "@bimip/runtime";
import { createStorage, readConfig as readStorageConfig } from "@bimip/storage";
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Device } from "./device.js";
import { eventually } from "./eventually.js";
import { startTestNats } from "./nats.js";
import { SECRET } from "./system.js";

/** Answers as awareness would, each question as the test wants it, and keeps what was asked. */
export class AwarenessStandIn {
  readonly events: SessionEvent[] = [];
  readonly holds: HoldRequest[] = [];
  readonly states: AwarenessRequest[] = [];
  readonly contacts: ContactRequest[] = [];
  readonly visibilities: VisibilityRequest[] = [];
  readonly locations: LocationRequest[] = [];
  readonly snapshots: SnapshotRequest[] = [];
  onEvent!: (event: SessionEvent) => Promise<{ epoch: bigint }>;
  onHold!: (request: HoldRequest) => Promise<object>;
  onState!: (request: AwarenessRequest) => Promise<MessageInitShape<typeof AwarenessResponseSchema>>;
  onContact!: (request: ContactRequest) => Promise<MessageInitShape<typeof ContactResponseSchema>>;
  onVisibility!: (request: VisibilityRequest) => Promise<MessageInitShape<typeof AwarenessVisibilityResSchema>>;
  onLocation!: (request: LocationRequest) => Promise<MessageInitShape<typeof LocationResponseSchema>>;
  onSnapshot!: (request: SnapshotRequest) => Promise<MessageInitShape<typeof SnapshotResponseSchema>>;
  /** Of the last thing that happened. */
  revision = 10;
  readonly #link: Link;
  #subscriptions: { unsubscribe(): void }[] = [];

  constructor(link: Link) {
    this.#link = link;
    this.answerAsEver();
  }

  /** Every question is answered, with as little as can be. */
  answerAsEver(): void {
    this.onEvent = async () => ({ epoch: BigInt(++this.revision) });
    this.onHold = this.onState = this.onContact = this.onLocation = async () => ({});
    this.onVisibility = async ({ type }) => ({ type, timestamp: 1n });
    this.onSnapshot = async () => ({ revision: BigInt(this.revision) });
  }

  async start(): Promise<void> {
    this.#serve(PROCEDURES.sessionEvent, this.events, (request) => this.onEvent(request));
    this.#serve(PROCEDURES.hold, this.holds, (request) => this.onHold(request));
    this.#serve(PROCEDURES.awareness, this.states, (request) => this.onState(request));
    this.#serve(PROCEDURES.contact, this.contacts, (request) => this.onContact(request));
    this.#serve(PROCEDURES.visibility, this.visibilities, (request) => this.onVisibility(request));
    this.#serve(PROCEDURES.location, this.locations, (request) => this.onLocation(request));
    this.#serve(PROCEDURES.snapshot, this.snapshots, (request) => this.onSnapshot(request));
    await this.#link.nc.flush();
  }

  /** Nobody answers from here on. */
  async away(): Promise<void> {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    await this.#link.nc.flush();
  }

  /** The gateway's process that holds this user's device. */
  async gatewayOf(eid: string): Promise<string> {
    const event = await eventually(`${eid} is registered`, () => this.events.find((one) => one.eid === eid));
    return event.gateway;
  }

  /** Tells these users, at the first one's gateway, in one message. */
  async tell(init: MessageInitShape<typeof AwarenessFanoutSchema> & { to: string[] }): Promise<void> {
    await this.tellAll([init]);
  }

  /** Several messages that leave together. */
  async tellAll(inits: (MessageInitShape<typeof AwarenessFanoutSchema> & { to: string[] })[]): Promise<void> {
    for (const init of inits) {
      const gateway = await this.gatewayOf(init.to[0] ?? "");
      const bytes = toBinary(AwarenessFanoutSchema, create(AwarenessFanoutSchema, init));
      this.#link.nc.publish(SUBJECTS.fanout(gateway), bytes);
    }
    await this.#link.nc.flush();
  }

  async sweep(gateway: string): Promise<void> {
    this.#link.nc.publish(SUBJECTS.swept(gateway));
    await this.#link.nc.flush();
  }

  #serve<Req extends DescMessage, Res extends DescMessage>(
    procedure: Procedure<Req, Res>,
    asked: MessageShape<Req>[],
    answer: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
  ): void {
    const take = async (request: MessageShape<Req>): Promise<MessageInitShape<Res>> => {
      asked.push(request);
      return answer(request);
    };
    this.#subscriptions.push(
      serve(this.#link.nc, procedure, QUEUES.awareness, take, () => undefined, { places: 10_000, maxWaitMs: 60_000 }),
    );
  }
}

/** `Awareness` of a user, as awareness encodes it. */
export function awarenessOf(eid: string, init: MessageInitShape<typeof AwarenessSchema> = {}): Uint8Array {
  const from = { eid, connectionResourceId: "phone", node: "elsewhere" };
  return toBinary(
    AwarenessSchema,
    create(AwarenessSchema, { type: 1, status: 1, ...init, from: create(IdentitySchema, from) }),
  );
}

/** What a fan-out says of a change of `about`. */
export const change = (
  to: string[],
  about: string,
  revision: number,
  init: MessageInitShape<typeof AwarenessSchema> = {},
): MessageInitShape<typeof AwarenessFanoutSchema> & { to: string[] } => ({
  to,
  eid: about,
  revision: BigInt(revision),
  stanza: { case: "awareness", value: awarenessOf(about, init) },
});

/** A real gateway, with storage and router over a real nats-server; awareness is the test's. */
export interface GatewayAlone {
  readonly nats: Awaited<ReturnType<typeof startTestNats>>;
  readonly link: Link;
  readonly awareness: AwarenessStandIn;
  readonly url: string;
  device(eid: string, device: string, options?: { settle?: boolean; name?: string }): Promise<Device>;
  /** A metric of the gateway, the sum over its labels that hold `label`. */
  metric(name: string, label?: string): Promise<number>;
  stopGateway(): Promise<void>;
  stop(): Promise<void>;
}

export async function startGatewayAlone(env: Record<string, string> = {}): Promise<GatewayAlone> {
  const nats = await startTestNats();
  const own = { NATS_URL: nats.url, BIMIP_JWT_SECRET: SECRET, BIMIP_PORT: "0", BIMIP_NODE: "gateway-1" };
  const all = { ...own, ...developmentLimits(env), ...env };
  const abort = new AbortController();
  const metrics = createMetrics("gateway");
  const context = (name: string): ServiceContext => ({
    logger: createLogger(name, "silent"),
    metrics: name === "gateway" ? metrics : createMetrics(name),
    health: createHealth(),
    signal: abort.signal,
  });
  const services: RunningService[] = [
    await createStorage(readStorageConfig(all), context("storage")),
    await createRouter(readRouterConfig(all), context("router")),
  ];
  const link = await connectNats({ servers: nats.url, name: "test" });
  const awareness = new AwarenessStandIn(link);
  await awareness.start();
  const gateway = await createGateway(readGatewayConfig(all), context("gateway"));
  const url = `ws://127.0.0.1:${gateway.port}/v1/ws`;
  const devices: Device[] = [];
  let stopped: Promise<void> | undefined;
  const stopGateway = (): Promise<void> => (stopped ??= gateway.stop());
  return {
    nats,
    link,
    awareness,
    url,
    async device(eid, name, { settle = true, ...extra } = {}) {
      const token = await issueToken({ secret: SECRET, eid, device: name, ...extra });
      const device = await Device.open(url, { token, settle });
      devices.push(device);
      return device;
    },
    async metric(name, label = "") {
      let sum = 0;
      for (const line of (await metrics.text()).split("\n")) {
        if (line.startsWith(name) && line.includes(label)) sum += Number(line.slice(line.lastIndexOf(" ")));
      }
      return sum;
    },
    stopGateway,
    async stop() {
      for (const { socket } of devices) socket.terminate();
      abort.abort();
      await stopGateway();
      for (const service of services) await service.stop();
      await link.nc.close();
      await nats.remove();
    },
  };
}
