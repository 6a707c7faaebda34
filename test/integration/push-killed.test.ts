// Offline push when the router is killed amid it: real processes, SIGKILL.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { call, PROCEDURES } from "@bimip/nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver } from "../kit/http-receiver.js";
import { PUSH_ENV, type PushSystem, startPushSystem } from "../kit/push-system.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = "services/router/src/main.ts";

let push: PushSystem;
let receiver: HttpReceiver;
const children: ChildProcess[] = [];
beforeAll(async () => {
  push = await startPushSystem();
  receiver = await HttpReceiver.start();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await receiver.stop();
  await push.stop();
});

/** A router in a process of its own; resolves when it is ready. */
async function startRouterProcess(env: Record<string, string>): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--conditions=bimip-src", "--import", "tsx", MAIN], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], NATS_URL: push.system.nats.url, ...PUSH_ENV, ...env },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  children.push(child);
  await new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`the router ended with ${code}`)));
  });
  return child;
}

test("a router killed between two tries: another goes on where it was, and nothing is forgotten", async () => {
  const env = {
    BIMIP_PUSH_WEBHOOK_URL: receiver.url,
    BIMIP_PUSH_TIMEOUT_MS: "500",
    BIMIP_PUSH_RETRY_MS: "300",
    BIMIP_PUSH_MAX_TRIES: "100",
  };
  receiver.answer = ({ body }) => ({ status: body.includes('"b-kill0@x"') ? 500 : 200 });
  const first = await startRouterProcess(env);
  const alice = await push.system.device("a-kill@x", "phone");
  const users = Array.from({ length: 10 }, (_, n) => `b-kill${n}@x`);
  for (const eid of users) await alice.messageSent({ id: "m1", to: { eid } });
  await receiver.count("b-kill0@x", 2);
  // What is pushed but not yet written down at the kill would be pushed again, with the same id.
  await eventually("the others are written down", async () => {
    const states = await Promise.all(
      users.slice(1).map((eid) => call(push.link.nc, PROCEDURES.pushState, { eid }, 1_000)),
    );
    return states.every(({ pushed }) => pushed > 0n);
  });

  first.kill("SIGKILL");
  for (const eid of users) await alice.messageSent({ id: "m2", to: { eid } });
  receiver.answer = () => ({ status: 200 });
  const before = receiver.pushes("b-kill0@x").length;
  await startRouterProcess(env);
  // NATS waits for the dead one before it gives the marks to another.
  await eventually("all pushes", () => users.every((eid) => idsOf(eid).includes("m2")), 45_000);
  await push.quiet(45_000);
  for (const eid of users.slice(1)) expect(idsOf(eid)).toEqual(["m1", "m2"]);
  expect(idsOf("b-kill0@x").slice(before)).toEqual(["m1", "m2"]);
  expect(new Set(receiver.pushes("b-kill0@x").map(({ id }) => id)).size).toBe(2);
}, 120_000);

const idsOf = (eid: string): (string | undefined)[] => receiver.pushes(eid).map(({ stanza }) => stanza.message?.id);
