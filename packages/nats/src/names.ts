import { nameToToken } from "@bimip/protocol";

/**
 * Every NATS name that BIMIP uses stands here and nowhere else.
 *
 * An EID enters a subject only through `nameToToken`: EIDs hold dots, `*`, `>` and spaces, JetStream stores wildcard
 * subjects as literals, and a subscription built from `*` would read other people's messages.
 */
export const SUBJECTS = {
  /** A user's log: what is stored for `eid`, in partition `partition`. */
  log: (partition: number, eid: string) => `bimip.log.${partition}.${nameToToken(eid)}`,
  /** All logs of a partition: what stream LOG_<p> listens to. */
  logsOfPartition: (partition: number) => `bimip.log.${partition}.*`,
  /** Everything live for one user: log copies and claims. A gateway subscribes to it for each EID it holds. */
  user: (eid: string) => `bimip.to.${nameToToken(eid)}.*`,
  /** NATS's own copy of an entry, after the store. At most once. */
  live: (eid: string) => `bimip.to.${nameToToken(eid)}.log`,
  /** SessionClaim: the device's newest session; older ones end. */
  claim: (eid: string) => `bimip.to.${nameToToken(eid)}.claim`,
  /** FlowRequest → FlowResponse: may A write to B? */
  flow: "bimip.router.flow",
  /** What awareness answers; each is a ...Request → ...Response of bimip.server, but for the two named. */
  awareness: {
    /** SessionEvent → SessionEventRes: a session opened or ended. */
    session: "bimip.awareness.session",
    hold: "bimip.awareness.hold",
    stanza: "bimip.awareness.stanza",
    contact: "bimip.awareness.contact",
    /** VisibilityRequest → AwarenessVisibilityRes. */
    visibility: "bimip.awareness.visibility",
    snapshot: "bimip.awareness.snapshot",
    location: "bimip.awareness.location",
  },
  /** AwarenessTold: what a replica of awareness has told. */
  told: "bimip.awareness.told",
  /** Everything for one gateway's process. */
  gateway: (gateway: string) => `bimip.gateway.${gateway}.*`,
  /** AwarenessFanout: for users whose devices it holds. */
  fanout: (gateway: string) => `bimip.gateway.${gateway}.fanout`,
  /** Does it still live? It answers with its node. */
  gatewayPing: (gateway: string) => `bimip.gateway.${gateway}.ping`,
  /** It was taken for dead and its sessions for ended: if it lives it says what it holds. */
  swept: (gateway: string) => `bimip.gateway.${gateway}.swept`,
  /** FlowChanged: a block was made or lifted. */
  flowChanged: "bimip.flow.changed",
  /** A live-only stanza for a user's online devices, as they get it. */
  stanza: (eid: string) => `bimip.to.${nameToToken(eid)}.stanza`,
  /** Is a device of this user online? A gateway that holds one answers; nobody: no. */
  probe: (eid: string) => `bimip.to.${nameToToken(eid)}.probe`,
  /** LogTrimmed: entries of this log are gone. */
  trimmed: (eid: string) => `bimip.to.${nameToToken(eid)}.trimmed`,
  /** What storage answers; each is a ...Request → ...Response of bimip.server. */
  storage: {
    resume: "bimip.storage.resume",
    progress: "bimip.storage.progress",
    receipts: "bimip.storage.receipts",
    history: "bimip.storage.history",
    unread: "bimip.storage.unread",
    subscription: "bimip.storage.subscription",
    pushState: "bimip.storage.push-state",
    erase: "bimip.storage.erase",
  },
  /** NATS's own word that a log partition has a new leader: what was republished meanwhile may be lost. */
  leaderElected: "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*",
  /** A mark: this user has something to be pushed, look. */
  pushMark: (eid: string) => `bimip.push.${nameToToken(eid)}`,
  pushMarks: "bimip.push.*",
  /** What no push provider took. */
  pushDead: (eid: string) => `bimip.dead.${nameToToken(eid)}`,
  pushesDead: "bimip.dead.*",
} as const;

/** How NATS copies a stored entry from a log's subject to its user's live subject. */
export const REPUBLISH = { src: "bimip.log.*.*", dest: "bimip.to.{{wildcard(2)}}.log" } as const;

/** The last token of the subjects under `bimip.to.<eid>.`. */
export const USER_SUBJECT_KINDS = {
  live: "log",
  claim: "claim",
  stanza: "stanza",
  probe: "probe",
  trimmed: "trimmed",
} as const;

/** The last token of the subjects under `bimip.gateway.<gateway>.`. */
export const GATEWAY_SUBJECT_KINDS = { fanout: "fanout", ping: "ping", swept: "swept" } as const;

/** Queue groups: of all replicas of a service, one answers. */
export const QUEUES = { router: "router", awareness: "awareness", storage: "storage" } as const;

/** Streams beside the logs. */
export const STREAMS = {
  /** One mark per user who may have to be pushed to; the newest replaces older ones. */
  push: "BIMIP_PUSH",
  /** Pushes that were given up. */
  dead: "BIMIP_DEAD",
} as const;

/** Durable consumers; all replicas of the service share them. */
export const CONSUMERS = {
  /** On each LOG_<p>, headers only: who has something new? */
  pushOnLog: "push",
  /** On BIMIP_PUSH. */
  pushMarks: "router",
} as const;

/** Name of the stream of one log partition. */
export const logStream = (partition: number): string => `LOG_${partition}`;

export const BUCKETS = {
  /** Facts about the installation, written once. */
  meta: "BIMIP_META",
  /**
   * What presence is made of, in one bucket so that all of it has one order: sessions (SessionRecord), settings of users
   * (UserRecord) and relations (ContactRecord), as JSON.
   */
  awareness: "BIMIP_AWARENESS",
  /** Leases: key <gateway>, value GatewayLease as JSON; an entry that is not renewed vanishes. */
  gateways: "BIMIP_GATEWAYS",
  /** One entry per user: key <eid>, value UserRecord as JSON. */
  users: "BIMIP_USERS",
  /** One entry per user: key <eid>, which receipts the user has given. */
  receipts: "BIMIP_RECEIPTS",
} as const;

export const META_KEYS = { partitions: "partitions" } as const;

/** Key of a user in the buckets of users and receipts. */
export const userKey = (eid: string): string => nameToToken(eid);
/** What the first token of a key in the awareness bucket says of its value. */
export const AWARENESS_KEY_KINDS = { session: "session", user: "user", contact: "contact" } as const;

/** Key of a device's session in the awareness bucket. */
export const sessionKey = (eid: string, device: string): string =>
  `${AWARENESS_KEY_KINDS.session}.${nameToToken(eid)}.${nameToToken(device)}`;
/** Filter for all devices of a user in the awareness bucket. */
export const sessionKeysOf = (eid: string): string => `${AWARENESS_KEY_KINDS.session}.${nameToToken(eid)}.>`;
/** Key of a user's settings in the awareness bucket. */
export const awarenessUserKey = (eid: string): string => `${AWARENESS_KEY_KINDS.user}.${nameToToken(eid)}`;
/** Key of what a user has with another, as that user sees it, in the awareness bucket. */
export const contactKey = (eid: string, peer: string): string =>
  `${AWARENESS_KEY_KINDS.contact}.${nameToToken(eid)}.${nameToToken(peer)}`;
/** Filter for all that a user has with others in the awareness bucket. */
export const contactKeysOf = (eid: string): string => `${AWARENESS_KEY_KINDS.contact}.${nameToToken(eid)}.*`;

export const HEADERS = {
  /** Ours: base64url(SHA-256) of what makes a log entry one and the same. */
  messageId: "Nats-Msg-Id",
  /** NATS's: the entry's index in its log. */
  sequence: "Nats-Sequence",
  /** NATS's, on republished copies: index of the previous entry of the same log; 0 = none, or expired. */
  lastSequence: "Nats-Last-Sequence",
} as const;

/** One row per name, for docs/2-architecture.md (the docs test compares them). */
export const CATALOGUE: readonly { kind: string; name: string; writes: string; reads: string; carries: string }[] = [
  {
    kind: "subject",
    name: "bimip.log.<p>.<eid>",
    writes: "gateway",
    reads: "LOG_<p>",
    carries: "MessageScheme as stored",
  },
  {
    kind: "subject",
    name: "bimip.to.<eid>.log",
    writes: "nats-server (republish)",
    reads: "gateway",
    carries: "the stored entry, with its index",
  },
  { kind: "subject", name: "bimip.to.<eid>.claim", writes: "awareness", reads: "gateway", carries: "SessionClaim" },
  {
    kind: "subject",
    name: "bimip.router.flow",
    writes: "gateway",
    reads: "router",
    carries: "FlowRequest → FlowResponse",
  },
  {
    kind: "subject",
    name: "bimip.awareness.session",
    writes: "gateway",
    reads: "awareness",
    carries: "SessionEvent → SessionEventRes",
  },
  {
    kind: "subject",
    name: "bimip.awareness.hold",
    writes: "gateway",
    reads: "awareness",
    carries: "HoldRequest → HoldResponse",
  },
  {
    kind: "subject",
    name: "bimip.awareness.stanza",
    writes: "gateway",
    reads: "awareness",
    carries: "AwarenessRequest → AwarenessResponse",
  },
  {
    kind: "subject",
    name: "bimip.awareness.contact",
    writes: "gateway",
    reads: "awareness",
    carries: "ContactRequest → ContactResponse",
  },
  {
    kind: "subject",
    name: "bimip.awareness.visibility",
    writes: "gateway",
    reads: "awareness",
    carries: "VisibilityRequest → AwarenessVisibilityRes",
  },
  {
    kind: "subject",
    name: "bimip.awareness.snapshot",
    writes: "gateway",
    reads: "awareness",
    carries: "SnapshotRequest → SnapshotResponse",
  },
  {
    kind: "subject",
    name: "bimip.awareness.location",
    writes: "gateway",
    reads: "awareness",
    carries: "LocationRequest → LocationResponse",
  },
  { kind: "subject", name: "bimip.awareness.told", writes: "awareness", reads: "awareness", carries: "AwarenessTold" },
  {
    kind: "subject",
    name: "bimip.gateway.<gateway>.fanout",
    writes: "awareness",
    reads: "gateway",
    carries: "AwarenessFanout: presence and the like for users that it holds",
  },
  {
    kind: "subject",
    name: "bimip.gateway.<gateway>.ping",
    writes: "awareness",
    reads: "gateway",
    carries: "the gateway's node, if it lives",
  },
  {
    kind: "subject",
    name: "bimip.gateway.<gateway>.swept",
    writes: "awareness",
    reads: "gateway",
    carries: "its sessions were taken for ended",
  },
  { kind: "subject", name: "bimip.flow.changed", writes: "awareness", reads: "gateway", carries: "FlowChanged" },
  {
    kind: "subject",
    name: "bimip.to.<eid>.stanza",
    writes: "gateway",
    reads: "gateway",
    carries: "a live-only stanza (MessageScheme)",
  },
  {
    kind: "subject",
    name: "bimip.to.<eid>.probe",
    writes: "router",
    reads: "gateway",
    carries: "number of devices online",
  },
  { kind: "subject", name: "bimip.to.<eid>.trimmed", writes: "storage", reads: "gateway", carries: "LogTrimmed" },
  {
    kind: "subject",
    name: "bimip.storage.resume",
    writes: "gateway",
    reads: "storage",
    carries: "ResumeRequest → ResumeResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.progress",
    writes: "gateway, router",
    reads: "storage",
    carries: "ProgressRequest → ProgressResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.receipts",
    writes: "gateway",
    reads: "storage",
    carries: "ReceiptsRequest → ReceiptsResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.history",
    writes: "gateway, cli",
    reads: "storage",
    carries: "HistoryRequest → HistoryResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.unread",
    writes: "gateway, router",
    reads: "storage",
    carries: "UnreadRequest → UnreadResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.subscription",
    writes: "gateway, router",
    reads: "storage",
    carries: "SubscriptionRequest → SubscriptionResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.push-state",
    writes: "router",
    reads: "storage",
    carries: "PushStateRequest → PushStateResponse",
  },
  {
    kind: "subject",
    name: "bimip.storage.erase",
    writes: "cli",
    reads: "storage",
    carries: "EraseRequest → EraseResponse",
  },
  {
    kind: "subject",
    name: "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.LOG_<p>",
    writes: "nats-server",
    reads: "gateway",
    carries: "a partition has a new leader",
  },
  {
    kind: "subject",
    name: "bimip.push.<eid>",
    writes: "router",
    reads: "BIMIP_PUSH",
    carries: "a mark; what of it is to be tried again",
  },
  {
    kind: "subject",
    name: "bimip.dead.<eid>",
    writes: "router",
    reads: "BIMIP_DEAD",
    carries: "a push given up, as JSON",
  },
  {
    kind: "stream",
    name: "LOG_<p>",
    writes: "gateway",
    reads: "gateway, router, storage",
    carries: "the logs of partition p",
  },
  { kind: "stream", name: "BIMIP_PUSH", writes: "router", reads: "router", carries: "the newest mark of each user" },
  { kind: "stream", name: "BIMIP_DEAD", writes: "router", reads: "operators", carries: "pushes given up, for 7 days" },
  { kind: "consumer", name: "push on LOG_<p>", writes: "router", reads: "router", carries: "headers of new entries" },
  { kind: "consumer", name: "router on BIMIP_PUSH", writes: "router", reads: "router", carries: "marks" },
  { kind: "bucket", name: "BIMIP_META", writes: "storage", reads: "all", carries: "number of partitions" },
  {
    kind: "bucket",
    name: "BIMIP_AWARENESS",
    writes: "awareness",
    reads: "awareness, router",
    carries: "session.<eid>.<device>, user.<eid>, contact.<eid>.<peer>",
  },
  {
    kind: "bucket",
    name: "BIMIP_GATEWAYS",
    writes: "gateway",
    reads: "awareness",
    carries: "GatewayLease by <gateway>",
  },
  { kind: "bucket", name: "BIMIP_USERS", writes: "storage", reads: "storage", carries: "UserRecord by <eid>" },
  { kind: "bucket", name: "BIMIP_RECEIPTS", writes: "storage", reads: "storage", carries: "receipts given by <eid>" },
  { kind: "queue group", name: "storage", writes: "", reads: "storage", carries: "one replica answers" },
  { kind: "queue group", name: "router", writes: "", reads: "router", carries: "one replica answers" },
  { kind: "queue group", name: "awareness", writes: "", reads: "awareness", carries: "one replica answers" },
  { kind: "header", name: "Nats-Msg-Id", writes: "gateway", reads: "nats-server", carries: "dedupe id of a log entry" },
  { kind: "header", name: "Nats-Sequence", writes: "nats-server", reads: "gateway", carries: "index of the entry" },
  {
    kind: "header",
    name: "Nats-Last-Sequence",
    writes: "nats-server",
    reads: "gateway",
    carries: "index of the entry before",
  },
];
