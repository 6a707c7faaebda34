import { createServer } from "node:net";

// Below the range that the kernel takes the local ports of outgoing connections from: what is killed must find its
// port free when it comes back.
const FIRST = 11_000;
const LAST = 31_000;

/** Ports on 127.0.0.1 that nobody listens on at this moment. */
export async function choosePorts(count: number): Promise<number[]> {
  const chosen = new Set<number>();
  while (chosen.size < count) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (await isFree(port)) chosen.add(port);
  }
  return [...chosen];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
