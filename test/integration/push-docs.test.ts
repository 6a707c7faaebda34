// The receiver that docs/push.md shows is taken from there and run, with the real router calling it.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver, type ReceivedCall } from "../kit/http-receiver.js";
import { PUSH_ENV, type PushSystem, startPushSystem } from "../kit/push-system.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let push: PushSystem;
beforeAll(async () => {
  push = await startPushSystem();
});
afterAll(() => push.stop());

async function documentedReceiver(): Promise<string> {
  const text = await readFile(join(ROOT, "docs/push.md"), "utf8");
  return /^```js\n(.*?)^```$/ms.exec(text)?.[1] ?? "";
}

interface Receiver {
  readonly url: string;
  output(): string;
  stop(): Promise<void>;
}

/** The documented receiver in a process of its own. */
async function startReceiver(): Promise<Receiver> {
  const folder = await mkdtemp(join(tmpdir(), "bimip-receiver-"));
  const file = join(folder, "receiver.mjs");
  await writeFile(file, await documentedReceiver());
  const { BIMIP_PUSH_WEBHOOK_SECRET } = PUSH_ENV;
  const child = spawn(process.execPath, [file], { env: { BIMIP_PUSH_WEBHOOK_SECRET, PORT: "0" }, stdio: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const url = await eventually(
    () => `the receiver's address in: ${output}`,
    () => /http:\/\/[\d.]+:\d+/.exec(output)?.[0],
  );
  return {
    url,
    output: () => output,
    async stop() {
      const exit = once(child, "exit");
      child.kill();
      await exit;
      await rm(folder, { recursive: true });
    },
  };
}

test("the example in the repository is the documented one", async () => {
  expect(await documentedReceiver()).toBe(await readFile(join(ROOT, "examples/webhook-receiver/receiver.mjs"), "utf8"));
});

test("it takes the router's calls; a wrong signature, an altered body, an old timestamp are refused, a repeat is recognised", async () => {
  const receiver = await startReceiver();
  // Between the two, so that the test holds a genuine call to tamper with.
  const between = await HttpReceiver.start();
  const forward = async (call: ReceivedCall): Promise<Response> => {
    const headers = Object.fromEntries(
      Object.entries(call.headers).filter(([name]) => name.startsWith("bimip-") || name === "content-type"),
    ) as Record<string, string>;
    return fetch(receiver.url, { method: "POST", headers, body: call.body });
  };
  await push.router({ BIMIP_PUSH_WEBHOOK_URL: between.url });
  const alice = await push.system.device("a-docs@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-docs@x" }, payload: { data: { text: "grüße" } } });
  await between.count("b-docs@x", 1);
  const genuine = between.calls[0] as ReceivedCall;
  expect(genuine.body.toString()).toContain("grüße");

  const signature = String(genuine.headers["bimip-signature"]);
  const timestamp = String(genuine.headers["bimip-timestamp"]);
  const tampered = (headers: Record<string, string>, body = genuine.body) =>
    forward({ ...genuine, body, headers: { ...genuine.headers, ...headers } });
  const lastDigit = signature.endsWith("0") ? "1" : "0";
  const old = String(Number(timestamp) - 301);
  const refused = [
    await tampered({ "bimip-signature": signature.slice(0, -1) + lastDigit }),
    await tampered({ "bimip-signature": "" }),
    await tampered({ "bimip-signature": signature.slice(3) }),
    await tampered({}, Buffer.from(genuine.body.toString().replace("grüße", "gruesse"))),
    await tampered({ "bimip-timestamp": String(Number(timestamp) + 1) }),
    await tampered({ "bimip-timestamp": "" }),
    await tampered({
      "bimip-timestamp": old,
      "bimip-signature": sign(PUSH_ENV.BIMIP_PUSH_WEBHOOK_SECRET, old, genuine.body),
    }),
    await tampered({ "bimip-signature": sign("another secret of thirty-two bytes", timestamp, genuine.body) }),
  ];
  expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 401));
  expect(receiver.output()).not.toContain("b-docs@x");

  expect(await (await forward(genuine)).text()).toBe("taken");
  const repeated = await forward(genuine);
  expect([repeated.status, await repeated.text()]).toEqual([200, "known"]);
  expect(receiver.output().match(/message for b-docs@x, 1 unread/g)).toHaveLength(1);
  await between.stop();
  await receiver.stop();
});

function sign(secret: string, timestamp: string, body: Buffer): string {
  return `v1=${createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex")}`;
}

test("the router calls it directly", async () => {
  const receiver = await startReceiver();
  await push.stopRouters();
  await push.router({ BIMIP_PUSH_WEBHOOK_URL: receiver.url });
  const alice = await push.system.device("a-direct@x", "phone");
  for (const id of ["m1", "m2"]) await alice.messageSent({ id, to: { eid: "b-direct@x" } });
  await eventually("both", () => receiver.output().match(/message for b-direct@x/g)?.length === 2);
  await push.quiet();
  expect(receiver.output().match(/message for b-direct@x/g)).toHaveLength(2);
  await push.stopRouters();
  await receiver.stop();
});
