import { createServer } from "node:net";
import { hasCode } from "./files.js";

/** A TCP port nobody listens on at this moment. */
export async function freePort(host: string): Promise<number> {
  return listenOnce(0, host);
}

/** @throws Error that names BIMIP_PORT or BIMIP_HOST when a service could not listen there. */
export async function checkPort(port: number, host: string): Promise<void> {
  try {
    await listenOnce(port, host);
  } catch (error) {
    throw new Error(explain(error, port, host), { cause: error });
  }
}

function explain(error: unknown, port: number, host: string): string {
  const choose = "set BIMIP_PORT to another one (0 takes any free port)";
  if (hasCode(error, "EADDRINUSE")) return `port ${port} on ${host} is taken: ${choose}`;
  if (hasCode(error, "EACCES")) return `port ${port} may not be listened on by this user: ${choose}`;
  return `BIMIP_HOST=${host} cannot be listened on: ${error instanceof Error ? error.message : String(error)}`;
}

/** Listens and lets go again; the port it was, for 0. */
function listenOnce(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : port));
    });
  });
}
