// Makes stanzas.json: every stanza and server message, fully populated, encoded by implementations that are not ours.
//   node packages/protocol/vectors/generate.mjs && npx biome format --write packages/protocol/vectors
// `hex` is by protobufjs, `goHex` by protobuf-go (inside `buf convert`), both straight from the .proto files.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import Long from "long";
import protobuf from "protobufjs";

// protobufjs looks for Long by itself, but misses it under a test runner that resolves `require` to ES modules.
protobuf.util.Long = Long;
protobuf.configure();

const protoDir = fileURLToPath(new URL("../../../proto", import.meta.url));
const vectorFile = fileURLToPath(new URL("./stanzas.json", import.meta.url));

/** The schema as protobufjs reads it. */
export function loadRoot() {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(protoDir, target);
  return root.loadSync(["bimip/bimip.proto", "bimip/server/server.proto"]);
}

const from = { eid: "alice@example.com", connectionResourceId: "phone", node: "gateway-1" };
const to = { eid: "ünïcode@例え.jp", connectionResourceId: "tablet 2", node: "gateway-2" };
const timestamp = "1732365000123";
// Beyond 2^53: no implementation may have gone through a double.
const big = "9007199254740993";

const message = {
  id: "m-1",
  from,
  to,
  type: "media",
  timestamp,
  payload: {
    data: { text: "hello, wörld 👋", empty: "", "": "the empty key" },
    media: [
      { type: "image", url: "https://example.com/a.png", thumbnail: "https://example.com/t.png", size: "5368709120" },
      { type: "file", url: "https://example.com/b.pdf", thumbnail: "t", size: "1" },
    ],
  },
  ack: { status: [11, 12] },
  metadata: { encrypted: "AAECAw==", signature: "c2lnbmF0dXJl" },
  monotonicId: "300",
  previousId: big,
};
const openSession = {
  device: "phone",
  node: "gateway-1",
  sessionId: "s-1",
  since: timestamp,
  address: "2001:db8::1",
};
const awareness = {
  id: "a-1",
  from,
  to,
  type: 1,
  status: 4,
  locationSharing: 1,
  latitude: -33.8568,
  longitude: 151.2153,
  ttl: 3600,
  details: "in a meeting",
  timestamp,
  visibility: 2,
};

const payloads = {
  awareness,
  pingPong: { id: "p-1", from, type: 1, timestamp, details: "are you there" },
  awarenessVisibility: { id: "v-1", from, type: 3, timestamp, details: "holiday" },
  tokenAuthority: {
    to,
    token: "header.claims.signature",
    type: 1,
    task: 4,
    timestamp,
    details: "first frame",
    refreshToken: "refresh",
    expiresAt: "1732368600000",
    id: "t-1",
    jti: "token-7",
  },
  message,
  pushNotification: { ...message, id: "n-1", type: "reminder" },
  locationStream: { id: "l-1", from, to, latitude: 89.999, longitude: -179.5, altitude: -12.25, timestamp },
  body: { route: "9", awarenessList: [awareness, { ...awareness, id: "a-2", status: 2 }], timestamp },
  error: { code: 422, errorOrigin: 1, details: "message.to.eid: is missing", timestamp, id: "m-1" },
  logout: { to, type: 3, status: 1, timestamp, details: "lost phone" },
  signal: {
    id: "m-1",
    from,
    to,
    type: 2,
    status: 12,
    timestamp,
    monotonicId: "-1",
    logId: big,
    previousId: "127",
    details: "stored",
    firstId: "1",
    epoch: "9223372036854775807",
  },
  awarenessContact: {
    from,
    to,
    trackingId: "c-1",
    relationship: 2,
    action: 1,
    timestamp,
    details: "hi",
    locationPrecisionM: -1,
  },
  event: {
    id: "e-1",
    from,
    to,
    type: "call.offer",
    timestamp,
    data: "AP8QgA==",
    ttl: 30,
    logId: "128",
    previousId: "16384",
  },
  query: { id: "q-1", type: 1, with: to, before: "500", after: "100", limit: 50, data: "3q2+7w==" },
  page: {
    id: "q-1",
    items: [
      { route: "6", message },
      { route: "10", error: { code: 404, errorOrigin: 2, details: "gone", timestamp, id: "x" } },
    ],
    next: "99",
    done: true,
    sessions: [
      {
        device: "phone",
        node: "gateway-1",
        since: timestamp,
        lastSeen: timestamp,
        address: "192.0.2.1",
        current: true,
      },
    ],
    unread: [{ with: to, count: 999, lastId: "4294967296" }],
  },
};

const serverMessages = {
  AwarenessVisibilityRes: {
    id: "v-1",
    eid: "alice@example.com",
    deviceId: "phone",
    type: 3,
    timestamp,
    status: 500,
    message: "done",
    displayName: "Alice",
  },
  FlowRequest: { fromEid: "alice@example.com", toEid: "bob@example.com" },
  FlowResponse: { code: 403, details: "blocked" },
  SessionEvent: {
    eid: "alice@example.com",
    device: "phone",
    node: "gateway-1",
    sessionId: "s-1",
    open: true,
    timestamp,
    address: "192.0.2.1",
    gateway: "g1",
    since: "1732365000123",
    number: "12",
    ageMs: "350",
    over: big,
  },
  SessionEventRes: { epoch: big, contested: "6" },
  SessionClaim: { device: "phone", sessionId: "s-1", epoch: "7" },
  HoldRequest: {
    node: "gateway-1",
    gateway: "g1",
    sessions: [{ eid: "alice@example.com", device: "phone", sessionId: "s-1", timestamp, address: "192.0.2.1" }],
  },
  HoldResponse: { stale: ["s-1", "s-2"] },
  AwarenessRequest: {
    eid: "alice@example.com",
    device: "phone",
    node: "gateway-1",
    sessionId: "s-1",
    awareness: "IAEoAw==",
  },
  AwarenessResponse: { code: 403, details: "to.eid: may not see you" },
  ContactRequest: {
    eid: "alice@example.com",
    device: "phone",
    node: "gateway-1",
    contact: "KAk=",
    after: "bob@example.com",
  },
  ContactResponse: { code: 409, details: "to.eid: is blocked by you", contacts: ["KAk="], next: "carol@example.com" },
  VisibilityRequest: {
    id: "v-1",
    eid: "alice@example.com",
    deviceId: "phone",
    node: "gateway-1",
    type: 3,
    displayName: "Alice",
  },
  SnapshotRequest: { eid: "alice@example.com", revision: big, after: "bob@example.com" },
  SnapshotResponse: {
    entries: [{ eid: "bob@example.com", awareness: "IAEoAw==" }],
    revision: big,
    next: "carol@example.com",
    requests: ["KAE="],
  },
  AwarenessEntry: { eid: "bob@example.com", awareness: "IAEoAw==" },
  LocationRequest: {
    eid: "alice@example.com",
    device: "phone",
    node: "gateway-1",
    location: "IQAAAAAAAEpA",
    order: big,
  },
  LocationResponse: { code: 403, details: "to.eid: is not an accepted contact" },
  AwarenessFanout: {
    to: ["alice@example.com", "carol@example.com"],
    eid: "bob@example.com",
    notDevice: "phone",
    revision: big,
    asBody: true,
    awareness: "IAEoAw==",
    replica: "r1",
    number: big,
  },
  AwarenessTold: { replica: "r1", revision: big },
  FlowChanged: { eid: "alice@example.com", otherEid: "bob@example.com" },
  ResumeRequest: {
    eid: "alice@example.com",
    device: "phone",
    after: "-1",
    timestamp: "1732365000123",
    epoch: "1732365000122",
  },
  ResumeResponse: {
    after: "41",
    firstId: "7",
    head: "9007199254740993",
    epoch: "1732365000123",
    details: "trimmed",
    beyondHead: true,
    handed: "43",
  },
  ProgressRequest: {
    devices: [
      {
        eid: "alice@example.com",
        device: "phone",
        cursor: "40",
        handed: "42",
        read: "39",
        lastSeen: "1732365000123",
        epoch: "1732365000123",
      },
    ],
    users: [
      {
        eid: "alice@example.com",
        pushed: "41",
        receipts: [{ status: 5, indexes: ["1", "9007199254740993"] }],
        epoch: "1732365000123",
      },
    ],
  },
  ProgressResponse: {},
  DeviceProgress: {
    eid: "alice@example.com",
    device: "phone",
    cursor: "40",
    handed: "42",
    read: "39",
    lastSeen: "1732365000123",
    epoch: "1732365000123",
  },
  UserProgress: {
    eid: "alice@example.com",
    pushed: "41",
    receipts: [{ status: 13, indexes: ["5"] }],
    epoch: "1732365000123",
  },
  ReceiptsGiven: { status: 4, indexes: ["1", "300", "9007199254740993"] },
  ReceiptsRequest: { eid: "alice@example.com" },
  ReceiptsResponse: { receipts: [{ status: 3, indexes: ["1", "2"] }], epoch: "1732365000123" },
  HistoryRequest: {
    eid: "alice@example.com",
    with: "bob@example.com",
    before: "9007199254740993",
    after: "3",
    limit: 200,
    everything: true,
  },
  HistoryResponse: { items: ["CAYyAwoBbQ==", ""], next: "9007199254740993", done: true },
  UnreadRequest: { eid: "alice@example.com", with: "bob@example.com" },
  UnreadResponse: { rows: [{ eid: "bob@example.com", count: 999, lastId: "9007199254740993" }], total: 999 },
  UnreadFrom: { eid: "bob@example.com", count: 3, lastId: "41" },
  SubscriptionRequest: { eid: "alice@example.com", device: "phone", subscription: "{}", expected: "{}" },
  SubscriptionResponse: {},
  PushStateRequest: { eid: "alice@example.com" },
  PushStateResponse: {
    acked: "40",
    pushed: "41",
    epoch: "1732365000123",
    subscriptions: [{ device: "phone", subscription: "{}" }],
    devices: [{ device: "phone", cursor: "9007199254740993" }],
  },
  PushDevice: { device: "phone", cursor: "40" },
  PushSubscription: { device: "phone", subscription: "{}" },
  EraseRequest: { eid: "alice@example.com" },
  EraseResponse: { erased: "12", trimmedTo: "9007199254740993" },
  LogTrimmed: { trimmedTo: "9007199254740993" },
  RevokeRequest: {
    device: { eid: "alice@example.com", device: "phone" },
    expiresAt: timestamp,
    by: "admin@example.com",
    seenOnly: true,
  },
  DeviceName: { eid: "alice@example.com", device: "phone" },
  RevokeResponse: { code: 422, details: "jti: is missing", revision: "9007199254740993" },
  RefreshRequest: {
    eid: "alice@example.com",
    device: "phone",
    refreshToken: "eyJ.eyJ.c2ln",
    scopes: ["refresh", "push"],
    name: "Alice",
    issuedAtS: "1732365000",
  },
  RefreshResponse: {
    code: 401,
    details: "refresh_token: was revoked",
    token: "eyJ.eyJ.c2ln",
    refreshToken: "eyJ.eyJ.c2ln",
    expiresAt: timestamp,
    eid: "alice@example.com",
    device: "phone",
  },
  SessionsRequest: { eid: "alice@example.com", device: "phone" },
  SessionsResponse: { sessions: [openSession, { ...openSession, device: "tablet" }] },
  OpenSession: openSession,
  EndRequest: { device: "phone", sessionId: "s-1", logout: "CAESAA==" },
  EndResponse: {},
};

/** The vectors without `goHex`: name, type, hex by protobufjs, value as proto3 JSON. */
export function makeVectors() {
  const root = loadRoot();
  const envelope = root.lookupType("bimip.MessageScheme");
  const stanzas = Object.entries(payloads).map(([name, value]) => {
    const route = String(envelope.fields[name].id);
    return vector(envelope, "bimip.MessageScheme", name, { route, [name]: value });
  });
  const others = Object.entries(serverMessages).map(([name, value]) => {
    const type = `bimip.server.${name}`;
    return vector(root.lookupType(type), type, name, value);
  });
  return [...stanzas, ...others];
}

function vector(type, typeName, name, value) {
  const bytes = type.encode(type.fromObject(value)).finish();
  return { name, type: typeName, hex: Buffer.from(bytes).toString("hex"), value };
}

/** What protobufjs reads in a message, as proto3 JSON. */
export function protobufjsToJson(root, typeName, bytes) {
  const type = root.lookupType(typeName);
  return type.toObject(type.decode(bytes), { longs: String, bytes: String });
}

function goHex(directory, { type, value }) {
  const input = join(directory, "value.json");
  writeFileSync(input, JSON.stringify(value));
  const buf = fileURLToPath(new URL("../../../node_modules/.bin/buf", import.meta.url));
  return execFileSync(buf, [
    "convert",
    protoDir,
    "--type",
    type,
    "--from",
    `${input}#format=json`,
    "--to",
    "-#format=binpb",
  ]).toString("hex");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const directory = mkdtempSync(join(tmpdir(), "bimip-vectors-"));
  try {
    const vectors = makeVectors().map(({ value, ...rest }) => ({
      ...rest,
      goHex: goHex(directory, { ...rest, value }),
      value,
    }));
    writeFileSync(vectorFile, `${JSON.stringify(vectors, null, 2)}\n`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
