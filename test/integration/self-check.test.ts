// A service is not ready while NATS is not what the configuration promises, says which setting is wrong, and is ready once it
// is right: real services over a real nats-server whose streams are changed behind their backs.
import { type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { createAwareness, readConfig as readAwarenessConfig } from "@bimip/awareness";
import { createGateway, readConfig as readGatewayConfig } from "@bimip/gateway";
import { connectNats, ensureTopology, type Link, NATS_CONFIG, type TopologyOptions } from "@bimip/nats";
import { createRouter, readConfig as readRouterConfig } from "@bimip/router";
import {
  createHealth,
  createLogger,
  createMetrics,
  type Health,
  type RunningService,
  type ServiceContext,
} from "@bimip/runtime";
import { createStorage, readConfig as readStorageConfig } from "@bimip/storage";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats, type TestNats } from "../kit/nats.js";
import { startVersionProxy } from "../kit/old-nats.js";
import { SECRET } from "../kit/system.js";

const TOPOLOGY: TopologyOptions = { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 };

const SERVICES = {
  gateway: (env: NodeJS.ProcessEnv, context: ServiceContext) => createGateway(readGatewayConfig(env), context),
  router: (env: NodeJS.ProcessEnv, context: ServiceContext) => createRouter(readRouterConfig(env), context),
  awareness: (env: NodeJS.ProcessEnv, context: ServiceContext) => createAwareness(readAwarenessConfig(env), context),
  storage: (env: NodeJS.ProcessEnv, context: ServiceContext) => createStorage(readStorageConfig(env), context),
} as const;
type Service = keyof typeof SERVICES;

let nats: TestNats;
let link: Link;
let jsm: JetStreamManager;
const abort = new AbortController();
const running: Promise<RunningService>[] = [];

beforeAll(async () => {
  nats = await startTestNats({ users: { partitions: TOPOLOGY.partitions } });
  link = await connectNats({ servers: nats.url, name: "test" });
  jsm = await jetstreamManager(link.nc);
  await ensureTopology(link.nc, TOPOLOGY);
});
afterEach(async () => {
  for (const service of running.splice(0)) await (await service).stop();
  await restore();
});
afterAll(async () => {
  abort.abort();
  await link.nc.close();
  await nats.remove();
});

/** Its health; it is being started. */
function start(service: Service, env: Record<string, string> = {}): Health {
  const health = createHealth();
  const context = {
    logger: createLogger(service, "silent"),
    metrics: createMetrics(service),
    health,
    signal: abort.signal,
  };
  const own = service === "gateway" ? { BIMIP_JWT_SECRET: SECRET, BIMIP_PORT: "0" } : {};
  const settings = { NATS_URL: nats.url, BIMIP_LOG_PARTITIONS: "1", ...nats.env(service), ...own, ...env };
  running.push(SERVICES[service](settings, context));
  return health;
}

const why = (health: Health): string | undefined => {
  const part = health.ready.parts[NATS_CONFIG];
  return part === undefined ? undefined : part.ok ? "" : part.detail;
};

/** Makes a stream anew, since nats-server lets nobody change this of one that is there. */
async function remake(name: string, change: Partial<StreamConfig>): Promise<void> {
  const { config } = await jsm.streams.info(name);
  await jsm.streams.delete(name);
  await jsm.streams.add({ ...config, ...change });
}

/** Every stream as storage makes it. */
async function restore(): Promise<void> {
  for (const name of ["LOG_0", "KV_BIMIP_AWARENESS"]) await jsm.streams.delete(name).catch(() => false);
  await ensureTopology(link.nc, TOPOLOGY);
}

const update = (name: string, change: Partial<StreamConfig>) => () => jsm.streams.update(name, change);
const anew = (name: string, change: Partial<StreamConfig>) => () => remake(name, change);

const WRONG_LOGS: readonly (readonly [string, () => Promise<unknown>, RegExp])[] = [
  [
    "a shorter dedupe window",
    update("LOG_0", { duplicate_window: 60e9 }),
    /LOG_0: duplicate_window is 60 s, not 120 s \(BIMIP_DEDUPE_WINDOW_S\)/,
  ],
  ["discard", update("LOG_0", { discard: "new" }), /LOG_0: discard is new, not old/],
  ["a limit of messages", update("LOG_0", { max_msgs: 1_000 }), /LOG_0: max_msgs is 1000, not unlimited/],
  ["a limit of bytes", update("LOG_0", { max_bytes: 1e6 }), /LOG_0: max_bytes is 1000000, not unlimited/],
  [
    "a limit of messages each",
    update("LOG_0", { max_msgs_per_subject: 5 }),
    /LOG_0: max_msgs_per_subject is 5, not unlimited/,
  ],
  ["direct gets", update("LOG_0", { allow_direct: false }), /LOG_0: allow_direct is (false|not set), not true/],
  ["retention", anew("LOG_0", { retention: "workqueue" }), /LOG_0: retention is workqueue, not limits/],
  ["memory", anew("LOG_0", { storage: "memory" }), /LOG_0: storage is memory, not file/],
  [
    "another republish",
    update("LOG_0", { republish: { src: "bimip.log.*.*", dest: "elsewhere.{{wildcard(2)}}" } }),
    /LOG_0: republish is .*elsewhere.*, not /,
  ],
  ["asynchronous writes", anew("LOG_0", { persist_mode: "async" }), /LOG_0: persist_mode is async, not default/],
  [
    "other subjects than what is written",
    update("LOG_0", { subject_transform: { src: "bimip.log.0.*", dest: "bimip.log.0.x{{wildcard(1)}}" } }),
    /LOG_0: subject_transform is .*, not none/,
  ],
  ["no acknowledgements", update("LOG_0", { no_ack: true }), /LOG_0: no_ack is true, not false/],
];

test.each(WRONG_LOGS)("a gateway is not ready: %s", async (_what, spoil, reason) => {
  await spoil();
  const health = start("gateway");
  await eventually(
    () => `a reason: ${JSON.stringify(health.ready)}`,
    () => reason.test(why(health) ?? ""),
  );
  expect(health.ready.ok).toBe(false);
});

test("a gateway is ready once the setting is right", async () => {
  await update("LOG_0", { discard: "new" })();
  const health = start("gateway");
  await eventually("a reason", () => /discard/.test(why(health) ?? ""));
  await restore();
  await eventually("ready", () => why(health) === "");
});

test.each(["gateway", "router", "awareness"] as const)("%s: fewer replicas than configured", async (service) => {
  const health = start(service, { BIMIP_REPLICAS: "3" });
  await eventually("a reason", () => /: num_replicas is 1, not 3 \(BIMIP_REPLICAS\)/.test(why(health) ?? ""));
  expect(health.ready.ok).toBe(false);
});

test("more than a gateway asks for is fine: only storage sets it", async () => {
  await update("LOG_0", { duplicate_window: 600e9 })();
  const health = start("gateway");
  await eventually("ready", () => why(health) === "");
});

test("a gateway without its streams says which is missing", async () => {
  await jsm.streams.delete("KV_BIMIP_REVOCATIONS");
  const health = start("gateway");
  await eventually("a reason", () => why(health)?.includes("KV_BIMIP_REVOCATIONS: is missing"));
  await restore();
  await eventually("ready", () => why(health) === "");
});

test("awareness needs the bucket that it can change two keys of at once", async () => {
  await anew("KV_BIMIP_AWARENESS", { allow_atomic: false })();
  const health = start("awareness");
  await eventually("a reason", () =>
    /KV_BIMIP_AWARENESS: allow_atomic is (false|not set), not true/.test(why(health) ?? ""),
  );
});

test("storage says what of the topology it cannot bring about", async () => {
  await anew("LOG_0", { storage: "memory" })();
  const health = start("storage");
  const said = await eventually("a reason", () => health.ready.parts["topology"]?.detail);
  expect(said).toMatch(/^LOG_0: .*storage/);
  expect(health.ready.ok).toBe(false);
  await restore();
  await eventually("ready", () => why(health) === "");
});

test.each(["gateway", "router", "awareness", "storage"] as const)(
  "%s: a nats-server that is too old",
  async (service) => {
    const old = await startVersionProxy(nats.port, "2.12.9");
    try {
      const health = start(service, { NATS_URL: old.url });
      await eventually("a reason", () => why(health)?.includes("version is 2.12.9, older than 2.14.0"));
      expect(health.ready.ok).toBe(false);
    } finally {
      for (const service of running.splice(0)) await (await service).stop();
      old.close();
    }
  },
);

test("a server that does not fsync before it acknowledges is named, where that is asked for", async () => {
  const health = start("storage", { BIMIP_NATS_SYNC: "always" });
  await eventually("a reason", () =>
    /fsyncs every 120 s, .*BIMIP_NATS_SYNC.*sync_interval: always/.test(why(health) ?? ""),
  );
  expect(health.ready.ok).toBe(false);
  const unasked = start("storage");
  await eventually("ready", () => why(unasked) === "");
});

test("one that does is fine; where nobody can see it there is no readiness", async () => {
  const syncing = await startTestNats({ jetstream: "sync_interval: always", users: { partitions: 1 } });
  const env = { BIMIP_NATS_SYNC: "always", NATS_URL: syncing.url, ...syncing.env("storage") };
  try {
    const health = start("storage", env);
    await eventually("ready", () => why(health) === "");
    const blind = start("storage", { ...env, BIMIP_NATS_SYSTEM_USER: "nobody" });
    await eventually("a reason", () => why(blind)?.includes("fsync is not seen (BIMIP_NATS_SYNC)"));
    const unasked = start("storage", { ...env, BIMIP_NATS_SYSTEM_USER: "nobody", BIMIP_NATS_SYNC: "any" });
    await eventually("ready: nobody asked for it", () => why(unasked) === "");
  } finally {
    for (const service of running.splice(0)) await (await service).stop();
    await syncing.remove();
  }
});

test("half of a login, or proof that nobody can bring, is no configuration", () => {
  const read = (env: Record<string, string>) => () => readGatewayConfig({ BIMIP_JWT_SECRET: SECRET, ...env });
  const attempt = async (env: Record<string, string>): Promise<string> =>
    SERVICES.router(
      { NATS_URL: nats.url, ...env },
      {
        logger: createLogger("router", "silent"),
        metrics: createMetrics("router"),
        health: createHealth(),
        signal: abort.signal,
      },
    ).then(() => "started", String);
  expect(read({})).not.toThrow();
  return Promise.all([
    expect(attempt({ BIMIP_NATS_USER: "router" })).resolves.toContain(
      "BIMIP_NATS_PASSWORD_FILE is required with BIMIP_NATS_USER",
    ),
    expect(attempt({ BIMIP_NATS_SYNC: "always" })).resolves.toContain("BIMIP_NATS_SYNC=always needs"),
    expect(attempt({ BIMIP_NATS_NKEY_FILE: "a", BIMIP_NATS_USER: "b" })).resolves.toContain(
      "BIMIP_NATS_NKEY_FILE is instead of",
    ),
    expect(attempt({ BIMIP_NATS_NKEY_FILE: "/nowhere/x.nk" })).resolves.toContain(
      "BIMIP_NATS_NKEY_FILE: /nowhere/x.nk cannot be read",
    ),
    expect(attempt({ BIMIP_NATS_CERT_FILE: "a" })).resolves.toContain("BIMIP_NATS_KEY_FILE is required with"),
  ]);
});
