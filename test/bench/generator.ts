// The load, as a process of its own: N pairs, each sender keeps W messages unconfirmed. Talks to main.ts over IPC.
import { isError, isMessage, isSignal, MarkedMessage, markOf } from "./marked-message.js";
import { type Percentiles, percentiles } from "./percentiles.js";
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
    await Promise.all(
      order.tokens
        .slice(at, at + batch)
        .map((token, n) => LiteSocket.open(order.port, token, { localAddress: `127.0.0.${2 + (n % 8)}` })),
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
    const messages = new MarkedMessage({ to: pair.to, payloadBytes: order.payloadBytes });
    let lastDelivered = -1;
    const send = (): void => {
      if (!sending) return;
      const id = nextId++;
      sentAt[id] = performance.now();
      unconfirmed++;
      undelivered++;
      sender.send(messages.frame(id));
    };
    sender.onFrame = (frame) => {
      if (isError(frame)) counts.errors++;
      if (!isSignal(frame)) return;
      const id = markOf(frame);
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
      if (!isMessage(frame)) return;
      const id = markOf(frame);
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

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
