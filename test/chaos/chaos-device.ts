import { issueToken } from "@bimip/auth";
import { type BimipClient, BimipError, createClient } from "@bimip/client";
import { ErrorCode, SignalStatus } from "@bimip/protocol";
import { type DeviceKey, type DeviceName, deviceKey, type History } from "./history.js";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.js";

export interface ChaosDeviceOptions extends DeviceName {
  readonly history: History;
  readonly secret: string;
  /** Which gateways to try for a new connection, in this order. */
  readonly gateways: () => readonly number[];
}

/** One device: the SDK as an application uses it, on a line of its own that can be cut, frozen and slowed. */
export interface ChaosDevice extends DeviceName {
  readonly key: DeviceKey;
  readonly client: BimipClient;
  readonly line: TcpProxy;
  /** Messages without their SENT. */
  readonly waiting: number;
  /** Answers 503: messages that could not be stored at that time. */
  readonly postponed: number;
  /** What else the client reported, newest last. */
  readonly errors: readonly string[];
  /** @param bytes of ballast */
  send(to: string, bytes?: number): void;
  close(): Promise<void>;
}

/** Connects; resolves when the device is up to date. */
export async function connectChaosDevice(options: ChaosDeviceOptions): Promise<ChaosDevice> {
  const { eid, device, history, secret, gateways } = options;
  const key = deviceKey(options);
  const line = await startTcpProxy(gateways);
  const client = createClient({
    url: `ws://127.0.0.1:${line.port}/v1/ws`,
    token: await issueToken({ secret, eid, device }),
    reconnect: { minDelayMs: 50, maxDelayMs: 1_000 },
    pingIntervalMs: 1_500,
    connectTimeoutMs: 3_000,
  });
  let counter = 0;
  let waiting = 0;
  let postponed = 0;
  const errors: string[] = [];
  client.on("stanza", (stanza) => {
    if (stanza.kind === "error" && stanza.value.code === ErrorCode.TRY_AGAIN) postponed++;
  });
  client.on("error", ({ code, details }) => {
    errors.push(`${history.nowMs} ms: ${code} ${details}`);
    history.note("error", { device: key, code, details });
  });
  client.on("state", (state) => history.note("state", { device: key, state }));
  client.on("message", ({ id, text, from, to, index, replayed }) => {
    const sender = deviceKey({ eid: from.eid, device: from.device ?? "" });
    history.received(key, { id, text, from: sender, to: to.eid, index, replayed });
  });
  client.on("signal", ({ status, id, from }) => {
    if (status === SignalStatus.DELIVERED) history.receiptCame(key, { id, from: from?.eid ?? "" });
  });
  await client.connect();
  return {
    eid,
    device,
    key,
    client,
    line,
    errors,
    get waiting() {
      return waiting;
    },
    get postponed() {
      return postponed;
    },
    send(to, bytes = 0) {
      counter++;
      const id = `${key}-${to}-${counter}`;
      history.attempted({ id, from: key, to, counter });
      waiting++;
      const message = { to, id, text: id, ...(bytes > 0 && { data: { ballast: "x".repeat(bytes) } }) };
      client
        .send(message)
        .then((sent) => history.acknowledged(id, sent))
        .catch((error: unknown) => history.refused(id, reasonOf(error)))
        .finally(() => waiting--);
    },
    async close() {
      await client.close();
      await line.close();
    },
  };
}

function reasonOf(error: unknown): string {
  return error instanceof BimipError ? `${error.code} ${error.details}` : String(error);
}
