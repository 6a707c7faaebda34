export { type AtomicEntry, type AtomicWrite, createAtomicWrite } from "./atomic-write.js";
export { BucketFeed, type BucketFeedOptions, type FeedEntry } from "./bucket-feed.js";
export { bucketHead } from "./bucket-head.js";
export { scanBucket } from "./bucket-scan.js";
export { CasBucket, type CasValue, isConflict, NO_REVISION } from "./cas-bucket.js";
export { connectNats, type Link, type NatsConnection } from "./connect.js";
export type { ContactRecord, ContactSide, ContactState, PendingRequest } from "./contact-record.js";
export { entryId } from "./entry-id.js";
export type { Append, AppendCallback, AppendResult } from "./lane.js";
export { LogAdmin, type LogCount } from "./log-admin.js";
export { LogEpochs } from "./log-epochs.js";
export { createLogReader, type LogEntry, type LogReader, type StoredEntry } from "./log-reader.js";
export { type Scanned, type ScannedEntry, type ScanRequest, scanLog } from "./log-scan.js";
export {
  AWARENESS_KEY_KINDS,
  awarenessUserKey,
  BUCKETS,
  CATALOGUE,
  CONSUMERS,
  contactKey,
  contactKeysOf,
  GATEWAY_SUBJECT_KINDS,
  HEADERS,
  logStream,
  META_KEYS,
  QUEUES,
  STREAMS,
  SUBJECTS,
  sessionKey,
  sessionKeysOf,
  userKey,
  USER_SUBJECT_KINDS,
} from "./names.js";
export { partitionOf } from "./partition.js";
export { PROCEDURES } from "./procedures.js";
export { parsePubAck, type PubAck } from "./pub-ack.js";
export { laneDepthFor, Publisher, type PublisherOptions } from "./publisher.js";
export { type EntryHeaders, readEntryHeaders } from "./raw-headers.js";
export { call, type Procedure, serve } from "./rpc.js";
export type { DevicePresence, GatewayLease, SessionRecord } from "./session-record.js";
export { jitteredStepMs, stepMs } from "./steps.js";
export {
  ensureTopology,
  logStreamConfig,
  openBucket,
  PartitionsMismatch,
  type TopologyOptions,
  waitForTopology,
} from "./topology.js";
export { createTurns, type Turns } from "./turns.js";
