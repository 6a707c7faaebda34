import { hostname } from "node:os";
import { z } from "zod";
import { limitSettings } from "./limit-settings.js";
import { choice, optionalText, type Setting, text, whole } from "./setting.js";
import { SECRET_TEXT, tokenSettings } from "./token-settings.js";
import { transportSettings } from "./transport-settings.js";

const port = { min: 0, max: 65_535 } as const;

const replicaCounts = { "1": 1, "3": 3, "5": 5 } as const;

/** `<host>-<pid>`, cut and cleaned so that it can be a token of a NATS subject. */
function defaultNode(): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9_-]/g, "-");
  return `${host.slice(0, 48) || "node"}-${process.pid}`;
}

/** `host:port`, with or without nats:// or tls:// before it; commas between several. */
const natsUrls = /^\s*(?:(?:nats|tls):\/\/)?[^\s,/]+\/?\s*(?:,\s*(?:(?:nats|tls):\/\/)?[^\s,/]+\/?\s*)*$/;

/**
 * The one catalogue of environment variables, keyed by variable name. A service picks the keys it needs with
 * `loadConfig`; the table in docs/5-setup.md is made from it by `settingsTable`.
 */
export const settings = {
  BIMIP_PORT: whole({
    ...port,
    default: 4001,
    doc: "Port of the gateway: `/v1/ws`, `/healthz` and, without `BIMIP_ADMIN_PORT`, `/readyz` and `/metrics`. 0 takes any free port.",
  }),
  BIMIP_HOST: text({
    parse: z.string(),
    type: "address",
    default: "127.0.0.1",
    doc: "Address the gateway listens on. `0.0.0.0` for every interface.",
  }),
  ...tokenSettings,
  BIMIP_DATA_DIR: text({
    parse: z.string(),
    type: "directory",
    default: ".bimip",
    doc: "Where the development profile keeps NATS's files, the secret and the logs of its processes.",
  }),
  NATS_URL: text({
    parse: z.string().regex(natsUrls, "expected nats:// or tls:// addresses, separated by commas"),
    type: "addresses, separated by commas",
    default: "nats://127.0.0.1:4222",
    secret: true,
    doc: "The NATS servers. `npm start` uses them instead of starting one of its own.",
  }),
  BIMIP_NATS_SERVER: optionalText({
    parse: z.string(),
    type: "file",
    doc: "A nats-server binary for the development profile, instead of the one it would find.",
  }),
  BIMIP_NODE: text({
    parse: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected 1 to 64 letters, digits, _ or -"),
    type: "1 to 64 letters, digits, `_` or `-`",
    default: defaultNode,
    defaultText: "host name and process id",
    doc: "Name of this gateway, stamped into `from.node`. Unique among the gateways.",
  }),
  BIMIP_LOG_PARTITIONS: whole({
    min: 1,
    max: 256,
    default: 4,
    doc: "Streams that the users' logs are spread over. Chosen at the first start and kept in the bucket BIMIP_META; storage refuses to start with another number.",
  }),
  BIMIP_REPLICAS: text({
    parse: z
      .string()
      .pipe(z.enum(["1", "3", "5"], "expected one of 1, 3, 5").transform((digit) => replicaCounts[digit])),
    type: "`1`, `3`, `5`",
    default: "1",
    doc: "Copies of every stream and bucket. 3 in production, on at least three NATS servers.",
  }),
  BIMIP_DEDUPE_WINDOW_S: whole({
    min: 1,
    max: 86_400,
    unit: "seconds",
    default: 120,
    doc: "How long NATS itself recognises a resend of the same stanza id; later ones are found by their timestamp. Costs NATS about 160 bytes of memory for each id in it.",
  }),
  BIMIP_LOG_MAX_AGE_S: whole({
    min: 0,
    max: 315_360_000,
    unit: "seconds",
    default: 0,
    doc: "Age at which log entries are dropped. 0 keeps them.",
  }),
  BIMIP_LOG_MAX_MESSAGES: whole({
    min: 0,
    max: 1_000_000_000,
    default: 0,
    doc: "Entries kept in one user's log; beyond, the oldest are trimmed and the user's devices are told. 0 = no limit.",
  }),
  BIMIP_LOG_MAX_BYTES: whole({
    min: 0,
    max: 1_000_000_000_000,
    unit: "bytes",
    default: 0,
    doc: "Bytes kept in one user's log; beyond, the oldest entries are trimmed and the user's devices are told. 0 = no limit.",
  }),
  BIMIP_RETENTION_SWEEP_S: whole({
    min: 1,
    max: 86_400,
    unit: "seconds",
    default: 60,
    doc: "How often storage compares the users' logs with the limits above.",
  }),
  BIMIP_PROGRESS_FLUSH_MS: whole({
    min: 1,
    max: 60_000,
    unit: "milliseconds",
    default: 250,
    doc: "How long a gateway gathers acknowledgements before it has them stored. What it had not stored when it was killed is replayed.",
  }),
  BIMIP_POSITION_CHECK_S: whole({
    min: 1,
    max: 3_600,
    unit: "seconds",
    default: 35,
    doc: "In this time each connected user's position is compared with the log once, so that a lost last copy is noticed.",
  }),
  BIMIP_PUSH_AFTER_MS: whole({
    min: 100,
    max: 86_400_000,
    unit: "milliseconds",
    default: 30_000,
    doc: "A message that no device of an online user acknowledged for so long is pushed as well.",
  }),
  BIMIP_PUSH_WEBHOOK_URL: optionalText({
    parse: z.url({ protocol: /^https?$/, error: "expected an http:// or https:// address" }),
    type: "address",
    doc: "Where messages for users without an online device are posted. Unset: no webhook.",
  }),
  BIMIP_PUSH_WEBHOOK_SECRET: optionalText({
    ...SECRET_TEXT,
    doc: "Key of the webhook's signature (HMAC-SHA256). Required with `BIMIP_PUSH_WEBHOOK_URL`.",
  }),
  BIMIP_PUSH_TIMEOUT_MS: whole({
    min: 100,
    max: 60_000,
    unit: "milliseconds",
    default: 5_000,
    doc: "How long a push provider may take to answer.",
  }),
  BIMIP_PUSH_MAX_TRIES: whole({
    min: 1,
    max: 100,
    default: 10,
    doc: "After so many tries a push is given up and kept in the stream BIMIP_DEAD.",
  }),
  BIMIP_PUSH_RETRY_MS: whole({
    min: 10,
    max: 3_600_000,
    unit: "milliseconds",
    default: 1_000,
    doc: "Pause after a push's first failed try; doubled after each further one, up to five minutes.",
  }),
  BIMIP_PUSH_CONCURRENCY: whole({
    min: 1,
    max: 10_000,
    default: 256,
    doc: "Users whose pushes are worked on at once; at any time one router does that for the whole installation.",
  }),
  BIMIP_VAPID_SUBJECT: optionalText({
    parse: z.string().regex(/^(mailto:|https:\/\/)/, "expected a mailto: or https: address"),
    type: "address",
    doc: "Who sends the web pushes (VAPID, RFC 8292). Web push is on when this and both keys are set.",
  }),
  BIMIP_VAPID_PUBLIC_KEY: optionalText({
    parse: z.string().regex(/^[A-Za-z0-9_-]{87}$/, "expected 87 characters of base64url"),
    type: "base64url",
    doc: "VAPID public key; the app subscribes with it.",
  }),
  BIMIP_VAPID_PRIVATE_KEY: optionalText({
    parse: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "expected 43 characters of base64url"),
    type: "base64url",
    secret: true,
    doc: "VAPID private key.",
  }),
  BIMIP_WEBPUSH_HOSTS: text({
    parse: z.string(),
    type: "host names, separated by commas",
    default: "fcm.googleapis.com,*.push.apple.com,*.push.services.mozilla.com,*.notify.windows.com",
    doc: "Push services that subscriptions may name, `*.` for any name under one. Others are refused, so that nobody makes the router call addresses of their choice.",
  }),
  BIMIP_UNKNOWN_RECIPIENT: choice({
    of: ["accept", "reject"],
    default: "accept",
    doc: "A recipient the broker has never seen is written to (`accept`) or refused with 404 (`reject`).",
  }),
  BIMIP_OFFLINE_GRACE_MS: whole({
    min: 0,
    max: 600_000,
    unit: "milliseconds",
    default: 5_000,
    doc: "How long a user whose last device went may come back before contacts are told OFFLINE.",
  }),
  BIMIP_AWARENESS_CONTACTS_PER_SECOND: whole({
    min: 100,
    max: 10_000_000,
    unit: "contacts a second",
    default: 20_000,
    doc: "How many contacts one user's changes of presence reach in a second. Beyond, changes wait and only the newest is told: a user with 5,000 contacts online is told of at most four times a second.",
  }),
  BIMIP_FLOW_CACHE_MS: whole({
    min: 0,
    max: 60_000,
    unit: "milliseconds",
    default: 1_000,
    doc: "How long a gateway goes by the router's last answer on who may write to whom.",
  }),
  BIMIP_SEND_DEADLINE_MS: whole({
    min: 100,
    max: 600_000,
    unit: "milliseconds",
    default: 12_000,
    doc: "How long storing a message is retried before its sender gets 503. An election in NATS takes 4 to 9 s.",
  }),
  BIMIP_MAX_STANZA_BYTES: whole({
    min: 1_024,
    max: 900_000,
    unit: "bytes",
    default: 65_536,
    doc: "Larger stanzas are answered with 413; the session goes on.",
  }),
  BIMIP_MAX_FRAME_BYTES: whole({
    min: 1_024,
    max: 67_108_864,
    unit: "bytes",
    default: 1_048_576,
    doc: "Larger WebSocket messages are cut by the transport, which closes the session.",
  }),
  BIMIP_MAX_BACKPRESSURE_BYTES: whole({
    min: 1_024,
    max: 1_073_741_824,
    unit: "bytes",
    default: 262_144,
    doc: "What a gateway buffers for one slow socket before it reads from the log instead.",
  }),
  BIMIP_MAX_PENDING_PER_SESSION: whole({
    min: 1,
    max: 1_000_000,
    default: 4_096,
    doc: "Messages of one session that may wait for their confirmation.",
  }),
  BIMIP_MAX_PENDING_BYTES_PER_SESSION: whole({
    min: 1_048_576,
    max: 1_073_741_824,
    unit: "bytes",
    default: 4_194_304,
    doc: "Bytes of one session's messages that may wait for their confirmation; beyond, messages are answered with 429.",
  }),
  BIMIP_MAX_PENDING_BYTES: whole({
    min: 1_048_576,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 268_435_456,
    doc: "The same for all sessions of a gateway; beyond, messages are answered with 503. What it may need in memory while NATS is away.",
  }),
  BIMIP_MAX_CONTACTS: whole({
    min: 1,
    max: 100_000,
    default: 5_000,
    doc: "Others whom one user may follow, be followed by, know or block. A request beyond, of either side, is answered with 409.",
  }),
  BIMIP_AUTH_TIMEOUT_MS: whole({
    min: 100,
    max: 600_000,
    unit: "milliseconds",
    default: 5_000,
    doc: "How long a connection without a token has for its first frame.",
  }),
  ...limitSettings,
  ...transportSettings,
  BIMIP_IDLE_TIMEOUT_S: whole({
    min: 8,
    max: 960,
    unit: "seconds",
    default: 60,
    doc: "A peer that sends nothing for so long, not even a pong, is closed.",
  }),
  BIMIP_LOG_LEVEL: choice({
    of: ["info", "fatal", "error", "warn", "debug", "trace", "silent"],
    default: "info",
    doc: "Least severe log line that is written.",
  }),
  BIMIP_ADMIN_PORT: whole({
    ...port,
    default: 0,
    doc: "Port of `/healthz`, `/readyz` and `/metrics` of a service. 0 = off.",
  }),
  BIMIP_ADMIN_HOST: text({
    parse: z.string(),
    type: "address",
    default: "127.0.0.1",
    doc: "Address that `BIMIP_ADMIN_PORT` listens on.",
  }),
  BIMIP_STOP_DEADLINE_MS: whole({
    min: 100,
    max: 600_000,
    unit: "milliseconds",
    default: 15_000,
    doc: "How long a service may take to stop before it is ended.",
  }),
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

/** Name of a variable in the catalogue. */
export type SettingName = keyof typeof settings;

/** The parsed value of every variable. */
export type Settings = {
  [K in SettingName]: (typeof settings)[K] extends Setting<infer T> ? T : never;
};

/** The catalogue as a Markdown table, for docs/5-setup.md; ends with a line feed. */
export function settingsTable(): string {
  const rows = Object.entries(settings).map(([name, row]: [string, Setting<unknown>]) => {
    return `| \`${name}\` | ${row.type} | ${row.defaultText} | ${row.doc} |`;
  });
  return ["| variable | value | default | what it does |", "|---|---|---|---|", ...rows, ""].join("\n");
}
