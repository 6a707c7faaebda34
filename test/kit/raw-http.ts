import { connect, type Socket } from "node:net";

/** An answer, and the connection that it came on. */
export interface RawAnswer {
  readonly status: number;
  /** By name in small letters. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly socket: Socket;
}

export interface RawOptions {
  readonly port: number;
  /** Of this machine: any 127.x.x.x on Linux. */
  readonly from?: string;
  /** Sent before the request. */
  readonly first?: Buffer;
  /** What is sent goes in pieces of so many bytes, each in a packet of its own. */
  readonly pieceBytes?: number;
}

export type Headers = readonly (readonly [name: string, value: string])[];

/** The head of a WebSocket upgrade, with these headers as they are, in this order. */
export function upgradeHead(headers: Headers = [], path = "/v1/ws"): string {
  const all: Headers = [
    ["Host", "localhost"],
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ...headers,
  ];
  return `GET ${path} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

export function openSocket({ port, from }: RawOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      ...(from !== undefined && { localAddress: from }),
    });
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => undefined);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** Sends it as it is. Rejects when the connection ends without an answer. */
export async function rawRequest(request: string, options: RawOptions): Promise<RawAnswer> {
  const socket = await openSocket(options);
  const bytes = Buffer.concat([options.first ?? Buffer.alloc(0), Buffer.from(request)]);
  const answer = readAnswer(socket);
  const { pieceBytes = bytes.length } = options;
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pieceBytes) {
    socket.write(bytes.subarray(at, at + pieceBytes));
    if (at + pieceBytes < bytes.length) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return answer;
}

/** One answer from a connection; without a body for 101. */
export function readAnswer(socket: Socket): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let text = "";
    const take = (): void => {
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const [line = "", ...rest] = text.slice(0, end).split("\r\n");
      const headers = new Map(
        rest.map((header) => [header.split(":")[0]?.toLowerCase() ?? "", header.replace(/^[^:]*: ?/, "")]),
      );
      const status = Number(line.split(" ")[1]);
      const length = status === 101 ? 0 : Number(headers.get("content-length") ?? 0);
      if (text.length < end + 4 + length) return;
      socket.off("data", onData);
      resolve({ status, headers, body: text.slice(end + 4, end + 4 + length).trim(), socket });
    };
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      take();
    };
    socket.on("data", onData);
    socket.once("close", () => reject(new Error(`closed without an answer: ${JSON.stringify(text)}`)));
  });
}
