import { createHash } from "node:crypto";
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
  /** RevokeRequest → RevokeResponse: refuse tokens. */
  revoke: "bimip.router.revoke",
  /** RefreshRequest → RefreshResponse: a new token. */
  refresh: "bimip.router.refresh",
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
    sessions: "bimip.awareness.sessions",
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
  /** EndRequest → EndResponse: the gateway that holds this session ends it. */
  end: (eid: string) => `bimip.to.${nameToToken(eid)}.end`,
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
  /** NATS's own word that something was written into the bucket of revocations, without the value. At most once. */
  revoked: "bimip.revoked.>",
  /** How are you? Every process answers, with a ProcessStatus as JSON. */
  status: "bimip.status",
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
  end: "end",
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

/** Name of the stream that a bucket is. */
export const bucketStream = (bucket: string): string => `KV_${bucket}`;

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
  /** Which tokens are refused: RevocationRecord as JSON by `revocationKeys`. Every gateway holds all of it in memory. */
  revocations: "BIMIP_REVOCATIONS",
  /** One entry per device whose token the broker renews: key <eid>.<device>, value RefreshFamily as JSON. */
  refresh: "BIMIP_REFRESH",
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

/** What the first token of a key in the bucket of revocations says of it. */
export const REVOCATION_KEY_KINDS = { jti: "jti", user: "user", device: "device" } as const;

/** Keys of the bucket of revocations. A jti is any text of an issuer: its hash is a safe token of one length. */
export const revocationKeys = {
  jti: (jti: string): string => `${REVOCATION_KEY_KINDS.jti}.${createHash("sha256").update(jti).digest("base64url")}`,
  user: (eid: string): string => `${REVOCATION_KEY_KINDS.user}.${nameToToken(eid)}`,
  device: (eid: string, device: string): string =>
    `${REVOCATION_KEY_KINDS.device}.${nameToToken(eid)}.${nameToToken(device)}`,
} as const;

/** Key of a device's family of refresh tokens. */
export const refreshKey = (eid: string, device: string): string => `${nameToToken(eid)}.${nameToToken(device)}`;

export const HEADERS = {
  /** Ours: base64url(SHA-256) of what makes a log entry one and the same. */
  messageId: "Nats-Msg-Id",
  /** NATS's: the entry's index in its log. */
  sequence: "Nats-Sequence",
  /** NATS's, on republished copies: index of the previous entry of the same log; 0 = none, or expired. */
  lastSequence: "Nats-Last-Sequence",
} as const;
