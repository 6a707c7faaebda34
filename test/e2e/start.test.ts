// `npm start` and the lines it prints, as a person would type them: real processes, from the outside only.
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
}

let dataDir: string;
let port: number;
let broker: Running;
const children: ChildProcess[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip start ")); // with a space, as folders of people have
  port = await freePort();
  broker = await startBroker();
});
afterAll(async () => {
  await stopBroker();
  for (const child of children) child.kill("SIGKILL");
  await rm(dataDir, { recursive: true, force: true });
});

function run(command: string, args: readonly string[]): Running {
  const env = { ...process.env, BIMIP_DATA_DIR: dataDir, BIMIP_PORT: String(port) };
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  return { child, output: () => output };
}

async function startBroker(): Promise<Running> {
  const running = run("npm", ["start"]);
  await eventually(
    () => `ready: ${running.output()}`,
    () => running.output().includes("BIMIP is ready"),
    170_000,
  );
  return running;
}

async function stopBroker(): Promise<void> {
  broker.child.kill("SIGTERM");
  await eventually("npm start has ended", () => broker.child.exitCode !== null || broker.child.signalCode !== null);
  await eventually("nothing is left", () => !alive(natsPid()));
}

const natsPid = (): number => Number.parseInt(readFileSync(join(dataDir, "nats-server.pid"), "utf8"), 10);

/** A zombie, which nobody waited for, counts as gone. */
function alive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0] !== "Z";
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A line that `npm start` printed, run by a shell in the checkout. */
function printedLine(start: string): Running {
  const line = broker
    .output()
    .split("\n")
    .find((text) => text.includes(start));
  const command = line?.slice(line.indexOf(start));
  if (command === undefined) throw new Error(`nothing printed begins with ${start}: ${broker.output()}`);
  return run("sh", ["-c", command]);
}

test("two people in two terminals talk with the printed lines, with a tick for what is stored", async () => {
  const alice = printedLine("npx bimip chat --as alice@example.com");
  const bob = printedLine("npx bimip chat --as bob@example.com");
  await eventually(
    () => `alice: ${alice.output()}`,
    () => alice.output().includes("connected as alice"),
  );
  await eventually(
    () => `bob: ${bob.output()}`,
    () => bob.output().includes("connected as bob"),
  );
  alice.child.stdin?.write("hello bob\n");
  await eventually(
    () => `bob: ${bob.output()}`,
    () => bob.output().includes("hello bob"),
  );
  bob.child.stdin?.write("hello alice\n");
  await eventually(
    () => `alice: ${alice.output()}`,
    () => alice.output().includes("hello alice"),
  );
  await eventually(
    () => `ticks: ${alice.output()} ${bob.output()}`,
    () => /hello bob.*✓/.test(alice.output()) && /hello alice.*✓/.test(bob.output()),
  );
  for (const { child } of [alice, bob]) {
    child.stdin?.end();
    await eventually("the chat ends with its input", () => child.exitCode === 0);
  }
});

test("every other printed line works too", async () => {
  for (const [start, wanted] of [
    ["npx bimip send", /stored at index \d+/],
    ["npx bimip token", /^[\w-]+\.[\w-]+\.[\w-]+$/m],
    ["curl http", /"ok":true/],
    ["curl -s http", /bimip_gateway_connections/],
  ] as const) {
    const line = printedLine(start);
    await eventually(`${start} ends`, () => line.child.exitCode !== null);
    expect(line.output()).toMatch(wanted);
    expect(line.child.exitCode).toBe(0);
  }
});

test("a second start finds the old data; before it, everything had stopped", async () => {
  await stopBroker();
  broker = await startBroker();
  const listen = run("npx", ["bimip", "listen", "--all", "--as", "bob@example.com", "--count", "1", "--json"]);
  await eventually(
    () => `listen: ${listen.output()}`,
    () => listen.child.exitCode !== null,
  );
  expect(listen.output()).toContain('"text":"hello bob"');
});

test("kill -9 of the broker's parent: the next start ends the nats-server that was left, and finds the data", async () => {
  const before = natsPid();
  const parent = Number(readFileSync(`/proc/${before}/stat`, "utf8").split(") ")[1]?.split(" ")[1]);
  process.kill(parent, "SIGKILL");
  expect(alive(before)).toBe(true);
  broker = await startBroker();
  expect(broker.output()).toContain(String(before));
  expect(alive(before)).toBe(false);
  const listen = run("npx", ["bimip", "listen", "--all", "--as", "bob@example.com", "--count", "1", "--json"]);
  await eventually(
    () => `listen: ${listen.output()}`,
    () => listen.child.exitCode !== null,
  );
  expect(listen.output()).toContain('"text":"hello bob"');
});
