import { createHealth, createLogger, createMetrics, type RunningService } from "@bimip/runtime";
import {
  call,
  connectNats,
  createLogReader,
  type Link,
  type LogReader,
  type Procedure,
  PROCEDURES,
  SUBJECTS,
  partitionOf,
} from "@bimip/nats";
import {
  decodeFrame,
  encodeIdentity,
  encodeStanza,
  MessageSchema,
  MessageSchemeSchema,
  PushNotificationSchema,
  SignalSchema,
  SignalType,
  toStored,
} from "@bimip/protocol";
import { createStorage, readConfig } from "@bimip/storage";
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import { startTestNats } from "./nats.js";

export const PARTITIONS = 2;

/** Storage services over a real nats-server, asked as gateways ask them; entries are appended as gateways store them. */
export interface StorageKit {
  readonly nats: Awaited<ReturnType<typeof startTestNats>>;
  readonly link: Link;
  readonly reader: LogReader;
  ask<Req extends DescMessage, Res extends DescMessage>(
    procedure: Procedure<Req, Res>,
    request: MessageInitShape<Req>,
  ): Promise<MessageShape<Res>>;
  /** Sum of a metric over all replicas and labels. */
  metric(name: string): Promise<number>;
  /** Appends a message of `from` to the log of `owner`; answers with its index. */
  message(owner: string, from: string, to: string, id: string, size?: number): Promise<number>;
  notification(owner: string, from: string, id: string): Promise<number>;
  /** Appends a receipt of `from` for the message `id` of `owner`. */
  receipt(owner: string, from: string, id: string, status: number): Promise<number>;
  stop(): Promise<void>;
}

export async function startStorage(
  options: { replicas?: number; env?: Record<string, string> } = {},
): Promise<StorageKit> {
  const nats = await startTestNats();
  const env = { NATS_URL: nats.url, BIMIP_LOG_PARTITIONS: String(PARTITIONS), ...options.env };
  const abort = new AbortController();
  const metrics = Array.from({ length: options.replicas ?? 1 }, () => createMetrics("storage"));
  const services: RunningService[] = await Promise.all(
    metrics.map((own) =>
      createStorage(readConfig(env), {
        logger: createLogger("storage", "silent"),
        metrics: own,
        health: createHealth(),
        signal: abort.signal,
      }),
    ),
  );
  const link = await connectNats({ servers: nats.url, name: "test" });
  const js = jetstream(link.nc, { checkAPI: false });
  const append = async (owner: string, bytes: Uint8Array): Promise<number> => {
    const { seq } = await js.publish(SUBJECTS.log(partitionOf(owner, PARTITIONS), owner), bytes);
    return seq;
  };
  return {
    nats,
    link,
    reader: await createLogReader(link, PARTITIONS),
    ask: (procedure, request) => call(link.nc, procedure, request, 10_000),
    async metric(name) {
      let sum = 0;
      for (const own of metrics) {
        for (const line of (await own.text()).split("\n")) {
          if (line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(" ")));
        }
      }
      return sum;
    },
    message: (owner, from, to, id, size = 0) => append(owner, messageEntry(from, to, id, size)),
    notification: (owner, from, id) => append(owner, notificationEntry(from, owner, id)),
    receipt: (owner, from, id, status) => append(owner, receiptEntry(from, owner, id, status)),
    async stop() {
      abort.abort();
      await link.nc.close();
      for (const service of services) await service.stop();
      await nats.remove();
    },
  };
}

/** Asks where a device goes on, as a gateway does at RESUME. */
export async function resumeOf(
  kit: StorageKit,
  of: { eid: string; device: string; after?: number; atMs?: number; epoch?: number },
) {
  const { eid, device, after = 0, atMs = Date.now(), epoch = 0 } = of;
  const request = { eid, device, after: BigInt(after), epoch: BigInt(epoch), timestamp: BigInt(atMs) };
  const answer = await kit.ask(PROCEDURES.resume, request);
  return {
    after: Number(answer.after),
    firstId: Number(answer.firstId),
    head: Number(answer.head),
    epoch: Number(answer.epoch),
    details: answer.details,
    beyondHead: answer.beyondHead,
  };
}

/** How far a device got, as gateways say it; `seenMs` 0 = not said. */
export interface Got {
  readonly cursor?: number;
  readonly handed?: number;
  readonly read?: number;
  readonly epoch: number;
  readonly seenMs?: number;
}

export async function progressOf(kit: StorageKit, eid: string, device: string, got: Got): Promise<void> {
  const { cursor = 0, handed = 0, read = 0, epoch, seenMs = Date.now() } = got;
  const indexes = { cursor: BigInt(cursor), handed: BigInt(handed), read: BigInt(read) };
  const devices = [{ eid, device, ...indexes, lastSeen: BigInt(seenMs), epoch: BigInt(epoch) }];
  await kit.ask(PROCEDURES.progress, { devices });
}

const stamp = (from: string) => ({
  from: encodeIdentity({ eid: from, device: "phone", node: "gateway" }),
  timestampMs: Date.now(),
});

/** A message as a gateway stores it. */
export function messageEntry(from: string, to: string, id: string, size: number): Uint8Array {
  const payload = { data: { text: "x".repeat(size) } };
  const message = create(MessageSchema, { id, to: { eid: to }, type: "text", payload });
  return toStored(decodeFrame(encodeStanza("message", message), { maxStanzaBytes: 1 << 20 }), stamp(from));
}

function notificationEntry(from: string, to: string, id: string): Uint8Array {
  const notification = create(PushNotificationSchema, { id, to: { eid: to }, type: "news" });
  return toStored(decodeFrame(encodeStanza("pushNotification", notification)), stamp(from));
}

function receiptEntry(from: string, to: string, id: string, status: number): Uint8Array {
  const signal = create(SignalSchema, {
    id,
    from: { eid: from, connectionResourceId: "phone", node: "gateway" },
    to: { eid: to },
    type: SignalType.REQUEST,
    status,
  });
  return encodeStanza("signal", signal);
}

/** An entry of a page as `id`, of receipts as `id/status by giver`. */
export function itemOf(bytes: Uint8Array): string {
  const { payload } = fromBinary(MessageSchemeSchema, bytes);
  if (payload.case === "signal") return `${payload.value.id}/${payload.value.status} by ${payload.value.from?.eid}`;
  if (payload.case === "message" || payload.case === "pushNotification") return payload.value.id;
  throw new Error(`not an entry of a page: ${payload.case}`);
}

/** monotonic_id, of receipts log_id. */
export function indexOf(bytes: Uint8Array): number {
  const { payload } = fromBinary(MessageSchemeSchema, bytes);
  if (payload.case === "signal") return Number(payload.value.logId);
  if (payload.case === "message" || payload.case === "pushNotification") return Number(payload.value.monotonicId);
  throw new Error(`not an entry of a page: ${payload.case}`);
}
