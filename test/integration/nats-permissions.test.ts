// Each credential of the generated configuration is tried, on a real nats-server, on each class of subject: publish and
// subscribe, with and without a queue group. What is to be allowed stands here a second time, by hand. Cannot show: that a
// service needs all of what it may; that shows in review of the table.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { ReceiptsRequestSchema } from "@bimip/protocol";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import {
  ACCESS_SETTINGS,
  BUCKETS,
  bucketStream,
  call,
  CATALOGUE,
  connectNats,
  connectService,
  ensureTopology,
  type Link,
  NATS_USERS,
  type NatsUser,
  PROCEDURES,
  QUEUES,
  serve,
  type ServiceLink,
  STREAMS,
} from "@bimip/nats";
import { createHealth, createLogger, createMetrics, loadConfig } from "@bimip/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choosePorts } from "../chaos/ports.js";
import { type ConfiguredNats, startConfiguredNats } from "../kit/configured-nats.js";
import { eventually } from "../kit/eventually.js";
import { type NatsConfig, runNatsConfig } from "../kit/nats-config.js";

const PARTITIONS = 2;
/** The services, as the catalogue of names calls them. */
const BY_NAME: Readonly<Record<string, NatsUser>> = {
  gateway: "gateway",
  router: "router",
  awareness: "awareness",
  storage: "storage",
  cli: "operator",
};
const SERVICES: readonly NatsUser[] = ["gateway", "router", "awareness", "storage"];

interface Class {
  readonly subject: string;
  readonly publish: readonly NatsUser[];
  readonly subscribe: readonly NatsUser[];
  /** Subscribing is for this queue group only. */
  readonly queue?: string | undefined;
}

let dir: string;
let server: ConfiguredNats;
let config: NatsConfig;
const links = new Map<NatsUser, Link>();
/** What nats-server refused each user: `publish a.b`, `subscription a.b`. */
const refused = new Map<NatsUser, Set<string>>();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-permissions-"));
  const [port = 0] = await choosePorts(1);
  const hosts = `127.0.0.1:${port}`;
  const options = [
    "--out",
    dir,
    "--hosts",
    hosts,
    "--partitions",
    String(PARTITIONS),
    "--store-dir",
    join(dir, "store"),
  ];
  config = await runNatsConfig(options);
  server = await startConfiguredNats(config.configs[0] ?? "", port);
  for (const user of NATS_USERS) links.set(user, await connectAs(user));
  await ensureTopology(linkOf("storage").nc, { partitions: PARTITIONS, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
});
afterAll(async () => {
  for (const link of links.values()) await link.nc.close();
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function connectAs(user: NatsUser): Promise<Link> {
  const access = user === "system-reader" ? config.access("operator").system : config.access(user).access;
  if (access === undefined) throw new Error("no system user in the operator's settings");
  const own = new Set<string>();
  refused.set(user, own);
  return connectNats({
    ...access,
    as: user,
    name: `test ${user}`,
    onViolation: ({ operation, subject }) => void own.add(`${operation} ${subject}`),
  });
}

function linkOf(user: NatsUser): Link {
  const link = links.get(user);
  if (link === undefined) throw new Error(`no connection of ${user}`);
  return link;
}

/** Waits until everything was told that nats-server refused this user so far: nobody may publish the last. */
async function settled(user: NatsUser): Promise<void> {
  const subject = `marker.${marker++}`;
  linkOf(user).nc.publish(subject);
  await eventually(`${subject} is refused`, () => refused.get(user)?.delete(`publish ${subject}`));
}
let marker = 0;

const listed = (text: string): NatsUser[] => text.split(", ").flatMap((name) => BY_NAME[name] ?? []);

/** An example of a name of the catalogue. */
const concrete = (name: string): string =>
  name.replace("<p>", "1").replace("<eid>", "alice").replace("<gateway>", "g1").replace("<key>", "user.alice");

/** Every subject of the catalogue: who writes, who reads; questions are answered in a queue group. */
function catalogueClasses(): Class[] {
  return CATALOGUE.filter(({ kind }) => kind === "subject").map(({ name, writes, reads }) => {
    const subject = concrete(name);
    const isQuestion = /^bimip\.(router|awareness|storage)\.(?!told)/.test(subject);
    const queue = isQuestion ? Object.values(QUEUES).find((group) => subject.startsWith(`bimip.${group}.`)) : undefined;
    return { subject, publish: listed(writes), subscribe: listed(reads), queue };
  });
}

const nobody = { publish: [], subscribe: [] } as const;
const only = (subject: string, ...publish: NatsUser[]): Class => ({ subject, publish, subscribe: [] });

const LOGS = ["LOG_0", "LOG_1"];
const META = bucketStream(BUCKETS.meta);
const AWARENESS = bucketStream(BUCKETS.awareness);
const GATEWAYS = bucketStream(BUCKETS.gateways);
const USERS = bucketStream(BUCKETS.users);
const RECEIPTS = bucketStream(BUCKETS.receipts);
const REVOCATIONS = bucketStream(BUCKETS.revocations);
const REFRESH = bucketStream(BUCKETS.refresh);
const ALL_STREAMS = [
  ...LOGS,
  META,
  AWARENESS,
  GATEWAYS,
  USERS,
  RECEIPTS,
  REVOCATIONS,
  REFRESH,
  STREAMS.push,
  STREAMS.dead,
];

const WRITER_OF: Readonly<Record<string, NatsUser>> = {
  [BUCKETS.meta]: "storage",
  [BUCKETS.users]: "storage",
  [BUCKETS.receipts]: "storage",
  [BUCKETS.awareness]: "awareness",
  [BUCKETS.gateways]: "gateway",
  [BUCKETS.revocations]: "router",
  [BUCKETS.refresh]: "router",
};

const isLog = (stream: string): boolean => LOGS.includes(stream);
/** Who may do what with a stream, by the verb of JetStream's API; absent: nobody. */
function mayUse(verb: string, stream: string): NatsUser[] {
  const by: Record<string, () => NatsUser[]> = {
    "STREAM.CREATE": () => ["storage"],
    "STREAM.UPDATE": () => ["storage"],
    "STREAM.INFO": () => {
      const all: NatsUser[] = ["storage", "operator"];
      if (isLog(stream)) return [...all, "gateway", "router"];
      if (stream === AWARENESS) return [...all, "gateway", "awareness"];
      if (stream === GATEWAYS) return [...all, "awareness"];
      return stream === REVOCATIONS ? [...all, "gateway"] : all;
    },
    "STREAM.PURGE": () => {
      if (stream === REFRESH) return ["router"];
      return isLog(stream) || stream === RECEIPTS ? ["storage"] : [];
    },
    "STREAM.MSG.GET": () => {
      const readers: Record<string, NatsUser[]> = {
        [META]: [...SERVICES, "operator"],
        [AWARENESS]: ["awareness", "router"],
        [USERS]: ["storage"],
        [RECEIPTS]: ["storage"],
        [REVOCATIONS]: ["gateway", "router"],
        [REFRESH]: ["router"],
        [STREAMS.push]: ["router"],
        [STREAMS.dead]: ["operator"],
      };
      return isLog(stream) ? ["gateway", "router", "storage"] : (readers[stream] ?? []);
    },
    "DIRECT.GET": () => {
      if (isLog(stream)) return ["gateway", "router", "storage"];
      if (stream === AWARENESS) return ["awareness"];
      return stream === REVOCATIONS ? ["gateway"] : [];
    },
    "CONSUMER.CREATE": () => (stream === AWARENESS || stream === GATEWAYS ? ["awareness"] : []),
  };
  return by[verb]?.() ?? [];
}

const STREAM_VERBS = "CREATE UPDATE DELETE INFO PURGE MSG.GET MSG.DELETE SNAPSHOT RESTORE LEADER.STEPDOWN PEER.REMOVE"
  .split(" ")
  .map((verb) => `STREAM.${verb}`);
const CONSUMER_VERBS = [
  "CREATE",
  "DURABLE.CREATE",
  "INFO",
  "DELETE",
  "MSG.NEXT",
  "UNPIN",
  "PAUSE",
  "RESET",
  "LEADER.STEPDOWN",
];

/** The router's durable consumers, by stream. */
const consumerOf = (stream: string): string | undefined =>
  isLog(stream) ? "push" : stream === STREAMS.push ? "router" : undefined;

function mayConsume(verb: string, stream: string, consumer: string): NatsUser[] {
  if (consumerOf(stream) === consumer) {
    if (verb === "INFO") return ["router", "operator"];
    if (verb === "UNPIN") return stream === STREAMS.push ? ["router"] : [];
    return ["CREATE", "MSG.NEXT"].includes(verb) ? ["router"] : [];
  }
  const isFollowed = stream === AWARENESS || stream === GATEWAYS;
  return isFollowed && ["CREATE", "INFO", "DELETE"].includes(verb) ? ["awareness"] : [];
}

function jetStreamClasses(): Class[] {
  const classes: Class[] = [];
  for (const stream of ALL_STREAMS) {
    for (const verb of [...STREAM_VERBS, "DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.LIST", "CONSUMER.NAMES"])
      classes.push(only(`$JS.API.${verb}.${stream}`, ...mayUse(verb, stream)));
    classes.push(only(`$JS.API.DIRECT.GET.${stream}.any.subject`));
    for (const consumer of ["push", "router", "stranger"]) {
      for (const verb of CONSUMER_VERBS)
        classes.push(only(`$JS.API.CONSUMER.${verb}.${stream}.${consumer}`, ...mayConsume(verb, stream, consumer)));
      const withFilter = mayConsume("CREATE", stream, consumer).filter((user) => user !== "router");
      classes.push(only(`$JS.API.CONSUMER.CREATE.${stream}.${consumer}.a.filter`, ...withFilter));
      const acks = consumerOf(stream) === consumer ? (["router"] as const) : [];
      const flow = stream === AWARENESS || stream === GATEWAYS ? (["awareness"] as const) : [];
      for (const shape of ["", "_.hash."]) {
        classes.push(only(`$JS.ACK.${shape}${stream}.${consumer}.1.1.1.1700000000000000000.0`, ...acks));
        classes.push(only(`$JS.FC.${shape}${stream}.${consumer}.x`, ...flow));
      }
    }
  }
  return classes;
}

function otherClasses(): Class[] {
  return [
    ...Object.entries(WRITER_OF).map(([bucket, writer]) => only(`$KV.${bucket}.key`, writer)),
    // A gateway's key is one token.
    only(`$KV.${BUCKETS.gateways}.two.tokens`),
    only("$KV.OTHER.key"),
    only("$JS.API.INFO", "operator"),
    ...["STREAM.LIST", "STREAM.NAMES", "META.LEADER.STEPDOWN", "ACCOUNT.PURGE.BIMIP", "SERVER.REMOVE"].map((verb) =>
      only(`$JS.API.${verb}`),
    ),
    ...["STREAM.INFO.LOG_2", "STREAM.MSG.GET.OTHER", "DIRECT.GET.LOG_2", "STREAM.DELETE.OTHER"].map((rest) =>
      only(`$JS.API.${rest}`),
    ),
    ...NATS_USERS.map((user) => ({ subject: `_INBOX.${user}.abc.1`, publish: [], subscribe: [user] })),
    { subject: "_INBOX.abc.1", ...nobody },
    ...["VARZ", "JSZ"].map((what) => only(`$SYS.REQ.SERVER.PING.${what}`, "system-reader")),
    ...["SERVER.PING", "SERVER.PING.CONNZ", "SERVER.PING.ROUTEZ", "ACCOUNT.BIMIP.JSZ", "CLAIMS.UPDATE"].map((what) =>
      only(`$SYS.REQ.${what}`),
    ),
    ...[
      "$SYS.ACCOUNT.BIMIP.CONNECT",
      "$SRV.PING",
      "bimip.unknown",
      "other",
      "bimip.log.1",
      "bimip.storage.resume.more",
    ].map((subject) => ({ subject, ...nobody })),
  ];
}

/** Subscriptions to more than one class at a time. */
const WIDE = [
  ">",
  "*",
  "bimip.>",
  "bimip.to.>",
  "bimip.*.*",
  "bimip.log.*.*",
  "bimip.router.*",
  "bimip.storage.>",
].concat([
  "_INBOX.>",
  "_INBOX.*.*",
  "_INBOX.*.abc.1",
  "$JS.>",
  "$JS.API.>",
  "$JS.EVENT.>",
  "$JS.ACK.>",
  "$KV.>",
  "$SYS.>",
]);

const CLASSES: readonly Class[] = [...catalogueClasses(), ...jetStreamClasses(), ...otherClasses()];

test("each credential may publish exactly what the table says", async () => {
  let tried = 0;
  let allowed = 0;
  for (const user of NATS_USERS) {
    const { nc } = linkOf(user);
    for (const { subject } of CLASSES) nc.publish(subject);
    await settled(user);
    const wrong = CLASSES.filter(({ subject, publish }) => {
      tried++;
      const isAllowed = refused.get(user)?.has(`publish ${subject}`) !== true;
      if (isAllowed) allowed++;
      return isAllowed !== publish.includes(user);
    });
    expect(
      wrong.map(({ subject }) => subject),
      `publishing as ${user}`,
    ).toEqual([]);
  }
  process.stdout.write(
    `publish: ${NATS_USERS.length} users x ${CLASSES.length} subjects = ${tried}, ${allowed} allowed\n`,
  );
});

test("each credential may subscribe to exactly what the table says, and in its queue group only", async () => {
  const queues = [undefined, ...Object.values(QUEUES)];
  let tried = 0;
  let allowed = 0;
  for (const user of NATS_USERS) {
    const { nc } = linkOf(user);
    const own = refused.get(user);
    for (const queue of queues) {
      own?.clear();
      const every = [...CLASSES, ...WIDE.map((subject): Class => ({ subject, ...nobody }))];
      const subscriptions = every.map(({ subject }) =>
        nc.subscribe(subject, { callback: () => undefined, ...(queue !== undefined && { queue }) }),
      );
      await settled(user);
      const wrong = every.filter(({ subject, subscribe, queue: needed }) => {
        tried++;
        const isAllowed = own?.has(`subscription ${subject}`) !== true;
        if (isAllowed) allowed++;
        return isAllowed !== (subscribe.includes(user) && (needed === undefined || needed === queue));
      });
      expect(
        wrong.map(({ subject }) => subject),
        `subscribing as ${user} in queue ${queue}`,
      ).toEqual([]);
      for (const subscription of subscriptions) subscription.unsubscribe();
    }
  }
  process.stdout.write(`subscribe: ${tried} tried, ${allowed} allowed\n`);
});

test("gateways hear of users one by one or all at once, and of nothing else by a wildcard", async () => {
  const { nc } = linkOf("gateway");
  await settled("gateway");
  const own = refused.get("gateway");
  own?.clear();
  const fine = ["bimip.to.alice.*", "bimip.to.*.*", "bimip.gateway.g1.*", "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*"];
  for (const subject of fine) nc.subscribe(subject, { callback: () => undefined }).unsubscribe();
  await settled("gateway");
  expect([...(own ?? [])]).toEqual([]);
});

test("who answers a question may do so once, and to nobody who did not ask", async () => {
  const [gateway, router] = [linkOf("gateway"), linkOf("router")];
  const inbox = "_INBOX.gateway.question";
  const heard: string[] = [];
  gateway.nc.subscribe(inbox, { callback: (_error, message) => void heard.push(message.string()) });
  router.nc.subscribe("bimip.router.flow", {
    queue: QUEUES.router,
    callback(error, message) {
      if (error !== null) return;
      message.respond("first");
      message.respond("second");
    },
  });
  await Promise.all([gateway.nc.flush(), router.nc.flush()]);
  const own = refused.get("router");
  own?.clear();
  gateway.nc.publish("bimip.router.flow", "", { reply: inbox });
  await eventually("the second answer is refused", () => own?.has(`publish ${inbox}`));
  expect(heard).toEqual(["first"]);
});

test("a service answers into inboxes only, wherever a question wants the answer", async () => {
  const [gateway, storage] = [linkOf("gateway"), linkOf("storage")];
  const asked: string[] = [];
  const answer = (request: { eid: string }): Promise<object> => {
    asked.push(request.eid);
    return Promise.resolve({});
  };
  const served = serve(storage.nc, PROCEDURES.receipts, QUEUES.storage, answer, () => undefined);
  await storage.nc.flush();
  const question = toBinary(ReceiptsRequestSchema, create(ReceiptsRequestSchema, { eid: "mallory" }));
  // The answer is empty: what makes nats-server delete a stream.
  gateway.nc.publish(PROCEDURES.receipts.subject, question, { reply: "$JS.API.STREAM.DELETE.LOG_1" });
  await call(gateway.nc, PROCEDURES.receipts, { eid: "alice" }, 5_000);
  expect(asked).toEqual(["mallory", "alice"]);
  served.unsubscribe();
  const jsm = await jetstreamManager(storage.nc, { checkAPI: false });
  expect((await jsm.streams.info("LOG_1")).config.name).toBe("LOG_1");
});

test("a service with the credential of another one ends, saying so", async () => {
  const logger = createLogger("gateway", "info", { write: () => undefined });
  const connect = (user: NatsUser): Promise<ServiceLink> => {
    const { signal } = new AbortController();
    const context = { logger, metrics: createMetrics("gateway"), health: createHealth(), signal };
    return connectService("gateway", loadConfig(ACCESS_SETTINGS, config.env(user)), context);
  };
  await expect(connect("router")).rejects.toThrow(/^these are not the credentials of gateway for NATS at nats:/);
  const { link } = await connect("gateway");
  expect(link.up).toBe(true);
  await link.nc.close();
});

test("a credential of another user, a wrong one and none are refused with words that say so", async () => {
  const { servers } = config.access("gateway").access;
  const attempt = (access: { user?: string; nkeyFile?: string }): Promise<unknown> =>
    connectNats({ servers, name: "stranger", ...access }).then(
      () => "let in",
      (error: unknown) => String(error),
    );
  expect(await attempt({})).toMatch(/NATS at nats:\/\/127\.0\.0\.1:\d+ refuses us without a user.*BIMIP_NATS_USER/);
  expect(await attempt({ user: "gateway" })).toMatch(/refuses the user gateway/);
  expect(await attempt({ user: "system-reader" })).toMatch(/refuses the user system-reader/);
});

// The one thing that NATS's permissions do not bind, told in docs/security.md. If this test fails, nats-server has got
// better: then the document and `answer` in packages/nats say too much.
test("known limit: nats-server sends an answer wherever the question asks for it", async () => {
  const { nc } = linkOf("gateway");
  const jsm = await jetstreamManager(linkOf("storage").nc, { checkAPI: false });
  const { seq } = await jetstream(nc).publish("bimip.log.0.alice", "not a record");
  nc.publish("$JS.API.DIRECT.GET.LOG_0", JSON.stringify({ seq }), { reply: `$KV.${BUCKETS.users}.alice` });
  const query = { last_by_subj: `$KV.${BUCKETS.users}.alice` };
  const written = await eventually("a gateway has written into a bucket that is not its own", () =>
    jsm.streams.getMessage(USERS, query),
  );
  expect(written.string()).toBe("not a record");
});
