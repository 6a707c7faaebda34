import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, test, vi } from "vitest";

// Each test starts Node with a TypeScript loader, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface Started {
  readonly child: ChildProcess;
  /** Everything it logged, once its output has ended. */
  readonly lines: Promise<Record<string, unknown>[]>;
  /** Exit code, or the signal's name. */
  readonly exit: Promise<number | string>;
  readonly message: Promise<unknown>;
  /** Resolves once a text stood in its output. */
  logged(part: string): Promise<void>;
}

function start(file: string, behaviour = "", env: Record<string, string> = {}): Started {
  const child = fork(new URL(`./testing/${file}.ts`, import.meta.url), [behaviour], {
    execArgv: ["--conditions=bimip-src", "--import", "tsx"],
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  children.push(child);
  const { stdout } = child;
  if (stdout === null) throw new Error("stdout is piped");
  const seen: string[] = [];
  stdout.on("data", (data: Buffer) => seen.push(data.toString()));
  const exit = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  return {
    child,
    exit,
    lines: text(stdout).then((all) =>
      all
        .split("\n")
        .filter((line) => line !== "")
        .map(parseLine),
    ),
    message: Promise.race([
      once(child, "message").then(([message]: unknown[]) => message),
      exit.then((code) => `ended: ${code}`),
    ]),
    async logged(part) {
      while (!seen.join("").includes(part)) await once(stdout, "data");
    },
  };
}

function parseLine(line: string): Record<string, unknown> {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== "object" || parsed === null) throw new Error(`not a log line: ${line}`);
  return { ...parsed };
}

const messagesOf = (lines: readonly Record<string, unknown>[]) => lines.map((line) => line["msg"]);

test.each(["SIGTERM", "SIGINT"] as const)("%s stops it, exit 0; a second one changes nothing", async (signal) => {
  const service = start("service-process");
  expect(await service.message).toEqual({ type: "ready", port: 4001 });
  service.child.kill(signal);
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(0);
  const lines = await service.lines;
  expect(messagesOf(lines)).toEqual(["ready", "stopping", "stop called", "stopped"]);
  expect(lines[1]).toMatchObject({ service: "test", level: "info" });
  expect(lines[2]).toMatchObject({ ready: false, aborted: true });
});

test("the parent is told when all parts are ok, not before", async () => {
  const service = start("service-process", "late");
  await service.logged("waiting");
  service.child.kill("SIGUSR2");
  expect(await service.message).toEqual({ type: "ready", port: 4001 });
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(0);
  expect(messagesOf(await service.lines).slice(0, 2)).toEqual(["waiting", "ready"]);
});

test("a start that fails is one clear line and exit 1", async () => {
  const service = start("service-process", "start-fails");
  expect(await service.message).toBe("ended: 1");
  const lines = await service.lines;
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ level: "fatal", msg: "start failed: no luck today" });
});

test("SIGTERM during the start ends it", async () => {
  const service = start("service-process", "start-hangs");
  await service.logged("hanging");
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(0);
  expect(messagesOf(await service.lines)).toEqual(["hanging", "stopping", "stopped"]);
});

test("bad configuration is one line with all problems and exit 1", async () => {
  const service = start("service-process", "", { BIMIP_LOG_LEVEL: "loud", BIMIP_ADMIN_PROT: "1" });
  expect(await service.exit).toBe(1);
  const lines = await service.lines;
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ level: "fatal", problems: [expect.any(String), expect.any(String)] });
});

test("a stop that hangs is ended at the deadline, exit 1", async () => {
  const service = start("service-process", "stop-hangs", { BIMIP_STOP_DEADLINE_MS: "100" });
  await service.message;
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(1);
  expect(messagesOf(await service.lines).at(-1)).toBe("not stopped in time, exit");
});

test("a stop that fails is exit 1", async () => {
  const service = start("service-process", "stop-fails");
  await service.message;
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(1);
  expect((await service.lines).at(-1)).toMatchObject({ level: "error", msg: "stop failed" });
});

test.each([
  ["throws", "uncaught exception"],
  ["rejects", "unhandled rejection"],
])("a bug that %s is logged as fatal, exit 1", async (behaviour, message) => {
  const service = start("service-process", behaviour);
  await service.message;
  service.child.kill("SIGUSR1");
  expect(await service.exit).toBe(1);
  expect((await service.lines).at(-1)).toMatchObject({ level: "fatal", msg: message });
});

test("the parent lets go of the channel: it stops, exit 0", async () => {
  const service = start("service-process");
  await service.message;
  service.child.disconnect();
  expect(await service.exit).toBe(0);
  expect((await service.lines)[1]).toMatchObject({ msg: "stopping", reason: "the parent process is gone" });
});

test("the parent is killed with -9: no orphan stays", async () => {
  const parent = start("orphan-parent");
  expect(await parent.message).toEqual({ child: expect.any(Number) });
  parent.child.kill("SIGKILL");
  expect(await parent.exit).toBe("SIGKILL");
  // The orphan holds the same stdout, which ends only when it has ended too.
  expect(messagesOf(await parent.lines)).toEqual(["ready", "stopping", "stop called", "stopped"]);
});

test("the administrative server runs where a port is given", async () => {
  const port = await freePort();
  const service = start("service-process", "", { BIMIP_ADMIN_PORT: String(port) });
  await service.message;
  const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { ok: true, parts: { start: { ok: true }, work: { ok: true } } },
  ]);
  const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(await metrics.text()).toContain('bimip_test_total{service="test"} 1');
  service.child.kill("SIGTERM");
  expect(await service.exit).toBe(0);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("listens on TCP");
  return address.port;
}
