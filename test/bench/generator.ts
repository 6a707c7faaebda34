// The load, as a process of its own: N pairs, each sender keeps W messages unconfirmed. Talks to main.ts over IPC.
import { encodeStanza, MessageSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { LiteSocket } from "./ws-lite.js";

export interface LoadOrder {
  readonly port: number;
  readonly pairs: readonly { senderToken: string; receiverToken: string; to: string }[];
  readonly window: number;
  readonly payloadBytes: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface IdleOrder {
  readonly port: number;
  readonly tokens: readonly string[];
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface LoadResult {
  readonly stored: number;
  readonly delivered: number;
  readonly seconds: number;
  readonly endToEndMs: Percentiles;
  readonly sentMs: Percentiles;
  readonly lost: number;
  readonly repeated: number;
  readonly reordered: number;
  readonly errors: number;
  readonly generatorCpuMicros: number;
}

const ROUTE_MESSAGE = 6;
const ROUTE_SIGNAL = 12;
const ROUTE_ERROR = 10;
const ID_MARK = "#";
const ID_DIGITS = 9;

const tell = (message: object): void => void process.send?.(message);

process.on("message", (order: { load?: LoadOrder; idle?: IdleOrder }) => {
  if (order.load) void load(order.load).then((result) => tell({ result }), fail);
  if (order.idle) void idle(order.idle).then(() => tell({ idle: true }), fail);
});

function fail(error: unknown): void {
  tell({ error: String(error) });
}

async function idle(order: IdleOrder): Promise<void> {
  const batch = 100;
  for (let at = 0; at < order.tokens.length; at += batch) {
    // several source addresses: one has some 28,000 ports, less what waits in TIME_WAIT
    await Promise.all(
      order.tokens
        .slice(at, at + batch)
        .map((token, n) => LiteSocket.open(order.port, token, "", `127.0.0.${2 + (n % 8)}`)),
    );
  }
}

async function load(order: LoadOrder): Promise<LoadResult> {
  const sentAt: number[] = [];
  let nextId = 0;
  let sending = true;
  let measuring = false;
  const counts = { stored: 0, delivered: 0, repeated: 0, reordered: 0, errors: 0 };
  let unconfirmed = 0;
  let undelivered = 0;
  const endToEnd: number[] = [];
  const sent: number[] = [];
  const sockets: LiteSocket[] = [];

  for (const pair of order.pairs) {
    const [sender, receiver] = await Promise.all([
      LiteSocket.open(order.port, pair.senderToken),
      LiteSocket.open(order.port, pair.receiverToken),
    ]);
    sockets.push(sender, receiver);
    const template = Buffer.from(
      encodeStanza(
        "message",
        create(MessageSchema, {
          id: ID_MARK + "0".repeat(ID_DIGITS),
          to: { eid: pair.to },
          type: "text",
          payload: { data: { text: "x".repeat(order.payloadBytes) } },
        }),
      ),
    );
    const idAt = template.indexOf(ID_MARK) + 1;
    let lastDelivered = -1;
    const send = (): void => {
      if (!sending) return;
      const id = nextId++;
      template.write(String(id).padStart(ID_DIGITS, "0"), idAt, "latin1");
      sentAt[id] = performance.now();
      unconfirmed++;
      undelivered++;
      sender.send(template);
    };
    sender.onFrame = (frame) => {
      const route = frame[1];
      if (route === ROUTE_ERROR) counts.errors++;
      if (route !== ROUTE_SIGNAL) return;
      const id = readId(frame);
      if (id < 0) {
        for (let n = 0; n < order.window; n++) send(); // RESUME: the session is live
        return;
      }
      unconfirmed--;
      if (measuring) {
        counts.stored++;
        sent.push(performance.now() - (sentAt[id] ?? 0));
      }
      send();
    };
    receiver.onFrame = (frame) => {
      if (frame[1] !== ROUTE_MESSAGE) return;
      const id = readId(frame);
      if (id === lastDelivered) counts.repeated++;
      else if (id < lastDelivered) counts.reordered++;
      else undelivered--;
      lastDelivered = Math.max(lastDelivered, id);
      if (measuring) {
        counts.delivered++;
        endToEnd.push(performance.now() - (sentAt[id] ?? 0));
      }
    };
  }

  await sleep(order.warmupMs);
  const started = performance.now();
  const cpu = process.cpuUsage();
  measuring = true;
  tell({ measuring: true });
  const progress = setInterval(() => tell({ progress: counts.delivered }), 1_000);
  await sleep(order.measureMs);
  measuring = false;
  const seconds = (performance.now() - started) / 1_000;
  const used = process.cpuUsage(cpu);
  tell({ measured: true });
  clearInterval(progress);
  sending = false;
  for (let tries = 0; tries < 200 && (unconfirmed > 0 || undelivered > 0); tries++) await sleep(25);
  for (const socket of sockets) socket.close();
  return {
    stored: counts.stored,
    delivered: counts.delivered,
    seconds,
    endToEndMs: percentiles(endToEnd),
    sentMs: percentiles(sent),
    lost: undelivered,
    repeated: counts.repeated,
    reordered: counts.reordered,
    errors: counts.errors,
    generatorCpuMicros: used.user + used.system,
  };
}

function readId(frame: Buffer): number {
  const at = frame.indexOf(ID_MARK);
  return at < 0 ? -1 : Number(frame.toString("latin1", at + 1, at + 1 + ID_DIGITS));
}

function percentiles(values: number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
