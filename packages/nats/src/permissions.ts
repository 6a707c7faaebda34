import { BUCKETS, bucketStream, CONSUMERS, logStream, QUEUES, STREAMS, SUBJECTS } from "./names.js";
import { streamNames } from "./stream-shapes.js";

/** Who logs in to NATS: the services, the `bimip` command of operators, and who reads the state of the servers. */
export const NATS_USERS = ["gateway", "router", "awareness", "storage", "operator", "system-reader"] as const;
export type NatsUser = (typeof NATS_USERS)[number];

/** The one of them who belongs to NATS's system account. */
export const SYSTEM_USER = "system-reader" satisfies NatsUser;

const SERVICES = ["gateway", "router", "awareness", "storage"] as const;
const { awareness, storage } = SUBJECTS;

/** One line of the table: who may publish to a subject, who may subscribe to it. */
export interface Permission {
  /** `<p>` stands for each partition, `<stream>` for each stream and bucket: NATS knows wildcards for whole tokens only. */
  readonly subject: string;
  readonly publish: readonly NatsUser[];
  readonly subscribe: readonly NatsUser[];
  /** Subscribing is allowed in this queue group only. */
  readonly queue?: string;
  /** What for. */
  readonly why: string;
}

type Who = NatsUser | readonly NatsUser[];
const list = (who: Who): readonly NatsUser[] => (typeof who === "string" ? [who] : who);

const publishes = (who: Who, subject: string, why: string): Permission => ({
  subject,
  publish: list(who),
  subscribe: [],
  why,
});
const subscribes = (who: Who, subject: string, why: string): Permission => ({
  subject,
  publish: [],
  subscribe: list(who),
  why,
});
/** A question that one of a queue group answers. */
const question = (who: Who, subject: string, answers: keyof typeof QUEUES, why: string): Permission => ({
  subject,
  publish: list(who),
  subscribe: [answers],
  queue: QUEUES[answers],
  why,
});

const LOG = "LOG_<p>";
const EACH = "<stream>";
const bucket = (name: keyof typeof BUCKETS): string => bucketStream(BUCKETS[name]);
/** Reads of one message, of the stream's leader. */
const reads = (who: Who, stream: string, why: string): Permission =>
  publishes(who, `$JS.API.STREAM.MSG.GET.${stream}`, why);
/** Batches of messages, from any replica. */
const readsBatches = (who: Who, stream: string, why: string): Permission =>
  publishes(who, `$JS.API.DIRECT.GET.${stream}`, why);
const asksHead = (who: Who, stream: string, why: string): Permission =>
  publishes(who, `$JS.API.STREAM.INFO.${stream}`, why);

/** Acknowledgements and flow control come in two shapes, with and without domain and account (NATS 2.15). */
const twoShapes = (who: Who, kind: "ACK" | "FC", consumer: string, why: string): Permission[] =>
  ["", "*.*."].map((more) => publishes(who, `$JS.${kind}.${more}${consumer}.>`, why));

/** Follows a whole bucket, by ordered consumers that come and go. */
const follows = (who: Who, stream: string): Permission[] => [
  publishes(who, `$JS.API.CONSUMER.CREATE.${stream}`, "follows the bucket"),
  publishes(who, `$JS.API.CONSUMER.CREATE.${stream}.>`, "follows the bucket"),
  publishes(who, `$JS.API.CONSUMER.INFO.${stream}.*`, "how much of the bucket is still to come"),
  publishes(who, `$JS.API.CONSUMER.DELETE.${stream}.*`, "lets go of it"),
  ...twoShapes(who, "FC", `${stream}.*`, "takes it at its own pace"),
];

/** Works through a stream by a durable consumer. */
const consumes = (who: Who, stream: string, consumer: string): Permission[] => [
  publishes(who, `$JS.API.CONSUMER.CREATE.${stream}.${consumer}`, "makes the consumer"),
  publishes(who, `$JS.API.CONSUMER.INFO.${stream}.${consumer}`, "finds the consumer, and what waits in it"),
  publishes(who, `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, "takes from the consumer"),
  ...twoShapes(who, "ACK", `${stream}.${consumer}`, "acknowledges what was taken"),
];

const LIVE: readonly Permission[] = [
  publishes("gateway", "bimip.log.*.*", "appends to logs"),
  subscribes("gateway", "bimip.to.*.*", "all that comes for its users: log copies, claims, live stanzas, probes"),
  publishes("gateway", "bimip.to.*.stanza", "live-only stanzas"),
  publishes("gateway", "bimip.to.*.end", "ends a session on another gateway"),
  publishes("awareness", "bimip.to.*.claim", "a newer session of a device"),
  publishes("router", "bimip.to.*.probe", "is a device online?"),
  publishes("storage", "bimip.to.*.trimmed", "entries of a log are gone"),
  question("gateway", SUBJECTS.flow, "router", "may A write to B?"),
  question(["gateway", "operator"], SUBJECTS.revoke, "router", "refuses tokens"),
  question("gateway", SUBJECTS.refresh, "router", "renews tokens"),
  ...Object.values(awareness).map((subject) => question("gateway", subject, "awareness", "sessions and presence")),
  { subject: SUBJECTS.told, publish: ["awareness"], subscribe: ["awareness"], why: "what a replica has told" },
  publishes("awareness", "bimip.gateway.*.fanout", "presence for users that a gateway holds"),
  publishes("awareness", "bimip.gateway.*.ping", "does it live?"),
  publishes("awareness", "bimip.gateway.*.swept", "its sessions were taken for ended"),
  subscribes("gateway", "bimip.gateway.*.*", "all that comes for it"),
  { subject: SUBJECTS.flowChanged, publish: ["awareness"], subscribe: ["gateway"], why: "a block was made or lifted" },
  question("gateway", storage.resume, "storage", "where a device goes on"),
  question(["gateway", "router"], storage.progress, "storage", "how far devices and pushes got"),
  question("gateway", storage.receipts, "storage", "receipts given"),
  question(["gateway", "operator"], storage.history, "storage", "pages of a log"),
  question(["gateway", "router"], storage.unread, "storage", "unread counts"),
  question(["gateway", "router"], storage.subscription, "storage", "web push subscriptions"),
  question("router", storage.pushState, "storage", "what is pushed already"),
  question("operator", storage.erase, "storage", "erases a log"),
  publishes("router", SUBJECTS.pushMarks, "marks of users to push to"),
  publishes("router", SUBJECTS.pushesDead, "pushes given up"),
  subscribes("gateway", SUBJECTS.revoked, "there are new revocations (republished by nats-server)"),
  { subject: SUBJECTS.status, publish: ["operator"], subscribe: SERVICES, why: "`bimip doctor` asks each process" },
  subscribes("gateway", SUBJECTS.leaderElected, "a log has a new leader"),
  ...NATS_USERS.map((user) => subscribes(user, `${inboxPrefix(user)}.>`, "answers to its own questions")),
];

const WRITES: readonly Permission[] = [
  publishes("storage", `$KV.${BUCKETS.meta}.>`, "facts about the installation"),
  publishes("storage", `$KV.${BUCKETS.users}.>`, "cursors"),
  publishes("storage", `$KV.${BUCKETS.receipts}.>`, "receipts given"),
  publishes("awareness", `$KV.${BUCKETS.awareness}.>`, "sessions, settings, relations"),
  publishes("gateway", `$KV.${BUCKETS.gateways}.*`, "its lease"),
  publishes("router", `$KV.${BUCKETS.revocations}.>`, "refused tokens"),
  publishes("router", `$KV.${BUCKETS.refresh}.>`, "families of refresh tokens"),
];

/** JetStream's API. */
const JETSTREAM: readonly Permission[] = [
  reads(SERVICES, bucket("meta"), "number of partitions"),
  reads("operator", bucket("meta"), "number of partitions"),
  reads(["gateway", "router", "storage"], LOG, "head of a log, single entries"),
  readsBatches(["gateway", "router", "storage"], LOG, "pages of a log"),
  asksHead(["gateway", "router"], LOG, "when the log was made, and its shape"),
  asksHead(["gateway", "awareness"], bucket("awareness"), "head of the bucket"),
  reads(["awareness", "router"], bucket("awareness"), "single records"),
  readsBatches("awareness", bucket("awareness"), "relations of a user"),
  ...follows("awareness", bucket("awareness")),
  asksHead("awareness", bucket("gateways"), "head of the bucket"),
  ...follows("awareness", bucket("gateways")),
  reads("storage", bucket("users"), "single records"),
  reads("storage", bucket("receipts"), "single records"),
  publishes("storage", `$JS.API.STREAM.PURGE.${bucket("receipts")}`, "erases what a user gave"),
  publishes("storage", `$JS.API.STREAM.PURGE.${LOG}`, "trims and erases logs"),
  asksHead("gateway", bucket("revocations"), "head of the bucket"),
  reads(["gateway", "router"], bucket("revocations"), "single records"),
  readsBatches("gateway", bucket("revocations"), "all of it"),
  reads("router", bucket("refresh"), "single records"),
  publishes("router", `$JS.API.STREAM.PURGE.${bucket("refresh")}`, "ends a family"),
  reads("router", STREAMS.push, "a user's mark"),
  ...consumes("router", LOG, CONSUMERS.pushOnLog),
  ...consumes("router", STREAMS.push, CONSUMERS.pushMarks),
  publishes("router", `$JS.API.CONSUMER.UNPIN.${STREAMS.push}.${CONSUMERS.pushMarks}`, "lets another replica go on"),
  reads("operator", STREAMS.dead, "looks at pushes given up"),
  publishes("operator", `$JS.API.CONSUMER.INFO.${LOG}.${CONSUMERS.pushOnLog}`, "`bimip doctor`"),
  publishes("operator", `$JS.API.CONSUMER.INFO.${STREAMS.push}.${CONSUMERS.pushMarks}`, "`bimip doctor`"),
  publishes("operator", "$JS.API.INFO", "`bimip doctor`"),
  publishes("storage", `$JS.API.STREAM.CREATE.${EACH}`, "makes streams and buckets"),
  publishes("storage", `$JS.API.STREAM.UPDATE.${EACH}`, "brings them to their shape"),
  asksHead(["storage", "operator"], EACH, "compares their shape"),
];

const SYSTEM: readonly Permission[] = ["VARZ", "JSZ"].map((what) =>
  publishes(SYSTEM_USER, `$SYS.REQ.SERVER.PING.${what}`, "versions, cluster, fsync of every server"),
);

/** The whole table: every permission that BIMIP needs, and no other. */
export const PERMISSIONS: readonly Permission[] = [...LIVE, ...WRITES, ...JETSTREAM, ...SYSTEM];

/** The beginning of the subjects on which a user gets answers: nobody may read another's. */
export function inboxPrefix(user: NatsUser): string {
  return `_INBOX.${user}`;
}

/** What nats-server is told of one user. */
export interface UserPermissions {
  readonly publish: readonly string[];
  /** A subject, or `<subject> <queue group>`. */
  readonly subscribe: readonly string[];
  /** May answer, once, whoever asks on a subject that it listens to. */
  readonly answers: boolean;
}

/** The permissions of a user, with the partitions written out. */
export function permissionsOf(user: NatsUser, partitions: number): UserPermissions {
  const logs = Array.from({ length: partitions }, (_, partition) => logStream(partition));
  const all = streamNames(partitions);
  const expand = (subject: string): string[] => {
    if (subject.includes(LOG)) return logs.map((name) => subject.replace(LOG, name));
    return subject.includes(EACH) ? all.map((name) => subject.replace(EACH, name)) : [subject];
  };
  const publish = PERMISSIONS.filter((row) => row.publish.includes(user)).flatMap(({ subject }) => expand(subject));
  const subscribe = PERMISSIONS.filter((row) => row.subscribe.includes(user)).flatMap(({ subject, queue }) =>
    expand(subject).map((one) => (queue === undefined ? one : `${one} ${queue}`)),
  );
  const answers = (SERVICES as readonly NatsUser[]).includes(user);
  return { publish: [...new Set(publish)], subscribe: [...new Set(subscribe)], answers };
}
