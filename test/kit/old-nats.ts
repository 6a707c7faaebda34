import { createConnection, createServer, type Server } from "node:net";

/** A nats-server that says that it is of another version: a proxy before a real one. */
export interface VersionedNats {
  readonly url: string;
  close(): void;
}

export async function startVersionProxy(port: number, version: string): Promise<VersionedNats> {
  const server: Server = createServer((client) => {
    const upstream = createConnection({ port, host: "127.0.0.1" });
    // It says so at the connect, and again at the login.
    upstream.on("data", (bytes: Buffer) => {
      client.write(bytes.toString("latin1").replace(/"version":"[^"]*"/, `"version":"${version}"`), "latin1");
    });
    client.pipe(upstream);
    for (const socket of [client, upstream]) socket.on("error", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return { url: `nats://127.0.0.1:${address.port}`, close: () => server.close() };
}
