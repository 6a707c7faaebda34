import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findNatsServer } from "./find-nats-server.js";
import { startNatsServer } from "./nats-server.js";
import { identifyProcess } from "./process-identity.js";

let dataDir: string;
let binary: string;
beforeEach(async () => {
  // Characters that the configuration language and the kernel's list of arguments might stumble over.
  dataDir = join(await mkdtemp(join(tmpdir(), "bimip-nats-")), 'a "b" ü $c');
  binary = (await findNatsServer()).path;
}, 300_000);
afterEach(() => rm(join(dataDir, ".."), { recursive: true, force: true }));

/** One request over NATS's text protocol; the answer's payload. */
function request(port: number, subject: string, payload = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    let heard = "";
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString();
      const [, body] = /\r\nMSG inbox 1 \d+\r\n(.*)\r\n/s.exec(heard) ?? [];
      if (body === undefined) return;
      socket.destroy();
      resolve(body);
    });
    const length = Buffer.byteLength(payload);
    socket.write(`CONNECT {"verbose":false}\r\nSUB inbox 1\r\nPUB ${subject} inbox ${length}\r\n${payload}\r\n`);
  });
}

test("it runs with JetStream on files, and stops without leaving its process id", async () => {
  const server = await startNatsServer({ binary, dataDir, name: "one", config: "max_payload: 123456" });
  const info: unknown = JSON.parse(await request(server.port, "$JS.API.INFO"));
  expect(info).toMatchObject({ type: "io.nats.jetstream.api.v1.account_info_response", streams: 0 });
  expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
  expect(await readFile(join(dataDir, "nats-server.pid"), "utf8")).toMatch(new RegExp(`^${server.pid}\\s*$`));
  expect((await stat(join(server.storeDir, "jetstream"))).isDirectory()).toBe(true);
  expect(await readFile(join(dataDir, "nats-server.conf"), "utf8")).toContain("max_payload: 123456");
  expect(server.logTail()).toContain("Server is ready");
  await server.stop();
  expect(await identifyProcess(server.pid)).toBeUndefined();
  await expect(stat(join(dataDir, "nats-server.pid"))).rejects.toThrow("ENOENT");
});

test("after kill -9 a restart has the same port and the same data", async () => {
  await using server = await startNatsServer({ binary, dataDir });
  const { port, pid } = server;
  await request(port, "$JS.API.STREAM.CREATE.kept", JSON.stringify({ name: "kept", subjects: ["kept"] }));
  expect(JSON.parse(await request(port, "kept", "something"))).toEqual({ stream: "kept", seq: 1 });
  await server.kill("SIGKILL");
  expect(await identifyProcess(pid)).toBeUndefined();
  await server.restart();
  expect(server.port).toBe(port);
  expect(server.pid).not.toBe(pid);
  expect(JSON.parse(await request(port, "kept", "more"))).toEqual({ stream: "kept", seq: 2 });
});

test("one left over on this data directory is ended; one on another is not touched", async () => {
  const elsewhere = join(dataDir, "..", "other");
  await using other = await startNatsServer({ binary, dataDir: elsewhere });
  const leftOver = await startNatsServer({ binary, dataDir });
  await using server = await startNatsServer({ binary, dataDir });
  expect(await identifyProcess(leftOver.pid)).toBeUndefined();
  expect(await identifyProcess(server.pid)).toBeDefined();
  expect(await identifyProcess(other.pid)).toBeDefined();
});

test("one that cannot start says why, with its log", async () => {
  await expect(startNatsServer({ binary, dataDir, config: "no such { setting" })).rejects.toThrow(
    /nats-server ended with code 1\n.*Parse error/s,
  );
  await using first = await startNatsServer({ binary, dataDir: join(dataDir, "first") });
  await expect(startNatsServer({ binary, dataDir, port: first.port })).rejects.toThrow(/address already in use/);
});
