export { type AtomicEntry, type AtomicWrite, createAtomicWrite } from "./atomic-write.js";
export { BucketFeed, type BucketFeedOptions, type FeedEntry } from "./bucket-feed.js";
export { bucketHead } from "./bucket-head.js";
export { scanBucket } from "./bucket-scan.js";
export { BucketWatch, type BucketWatchOptions } from "./bucket-watch.js";
export { CATALOGUE } from "./catalogue.js";
export { CasBucket, type CasValue, isConflict, NO_REVISION } from "./cas-bucket.js";
export { connectNats, type ConnectOptions, type Link, type NatsConnection, NatsRefused, refusalOf } from "./connect.js";
export type { ContactRecord, ContactSide, ContactState, PendingRequest } from "./contact-record.js";
export { entryId } from "./entry-id.js";
export { answer } from "./inbox.js";
export type { Append, AppendCallback, AppendResult } from "./lane.js";
export { LogAdmin, type LogCount } from "./log-admin.js";
export { LogEpochs } from "./log-epochs.js";
export { createLogReader, type LogEntry, type LogReader, type StoredEntry } from "./log-reader.js";
export { type Scanned, type ScannedEntry, type ScanRequest, scanLog } from "./log-scan.js";
export {
  AWARENESS_KEY_KINDS,
  awarenessUserKey,
  BUCKETS,
  bucketStream,
  CONSUMERS,
  contactKey,
  contactKeysOf,
  GATEWAY_SUBJECT_KINDS,
  HEADERS,
  logStream,
  META_KEYS,
  QUEUES,
  refreshKey,
  REVOCATION_KEY_KINDS,
  revocationKeys,
  STREAMS,
  SUBJECTS,
  sessionKey,
  sessionKeysOf,
  userKey,
  USER_SUBJECT_KINDS,
} from "./names.js";
export {
  ACCESS_SETTINGS,
  accessOptions,
  describeServers,
  type NatsAccess,
  type ServiceAccess,
  serviceAccess,
} from "./nats-access.js";
export { partitionOf } from "./partition.js";
export {
  inboxPrefix,
  NATS_USERS,
  type NatsUser,
  type Permission,
  PERMISSIONS,
  permissionsOf,
  SYSTEM_USER,
  type UserPermissions,
} from "./permissions.js";
export { permissionsTable } from "./permission-table.js";
export { type ProcessStatus } from "./process-status.js";
export { PROCEDURES } from "./procedures.js";
export { parsePubAck, type PubAck } from "./pub-ack.js";
export { laneDepthFor, Publisher, type PublisherOptions } from "./publisher.js";
export { type EntryHeaders, readEntryHeaders } from "./raw-headers.js";
export { mergedRevocation, type RefreshFamily, type RevocationRecord, WAS_REVOKED } from "./revocation-record.js";
export { call, type Procedure, serve } from "./rpc.js";
export { type KnownConfig, reliedOn } from "./relied-on.js";
export { NATS_CONFIG, watchNatsConfig } from "./self-check.js";
export { accountsConfig, type Login, serverConfig, type ServerNode, type TlsFiles } from "./server-config.js";
export { expectedOf, readServers, type ServerState, serverProblems, versionProblem } from "./server-report.js";
export { connectService, type ServiceLink } from "./service-link.js";
export type { DevicePresence, GatewayLease, SessionRecord } from "./session-record.js";
export { jitteredStepMs, stepMs } from "./steps.js";
export { type StreamPromise, streamProblems } from "./stream-check.js";
export {
  bucketConfig,
  logStreamConfig,
  streamNames,
  type StreamShape,
  streamShapes,
  type TopologyOptions,
} from "./stream-shapes.js";
export {
  ensureTopology,
  openBucket,
  PartitionsMismatch,
  readPartitions,
  waitForReplicas,
  waitForTopology,
} from "./topology.js";
export { createTurns, type Turns } from "./turns.js";
