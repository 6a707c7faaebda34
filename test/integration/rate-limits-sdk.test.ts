// The SDK under the limits that an installation has by default: slowed down at worst, never shown out, nothing lost.
import { createClient } from "@bimip/client";
import { connectNats, partitionOf, SUBJECTS } from "@bimip/nats";
import { SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { defaultLimits } from "../kit/limits.js";
import { messageEntry, PARTITIONS } from "../kit/storage.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem({ env: { ...defaultLimits(), BIMIP_LOG_PARTITIONS: String(PARTITIONS) } });
});
afterAll(() => system.stop());

const BATCH = 500;

/** Stores messages in a log, past all limits. */
async function store(owner: string, from: string, count: number): Promise<void> {
  const link = await connectNats({ servers: system.nats.url, name: "test" });
  const js = jetstream(link.nc, { checkAPI: false });
  const subject = SUBJECTS.log(partitionOf(owner, PARTITIONS), owner);
  for (let at = 0; at < count; at += BATCH) {
    const ids = Array.from({ length: Math.min(BATCH, count - at) }, (_, n) => `m${at + n}`);
    await Promise.all(ids.map((id) => js.publish(subject, messageEntry(from, owner, id, 20))));
  }
  await link.nc.close();
}

/** A client, what became of its connection, and the errors that nobody awaits. */
async function open(eid: string) {
  const [url = ""] = system.urls;
  const states: string[] = [];
  const errors: string[] = [];
  const client = createClient({ url, token: await system.token(eid, "phone") });
  client.on("state", (state) => states.push(state));
  client.on("error", ({ code, details }) => errors.push(`${code} ${details}`));
  return { client, states, errors };
}

test("a device whose first question comes too fast asks again, and comes up to date", async () => {
  const narrow = await startSystem({ env: { BIMIP_RATE_SIGNALS_USER: "1/3" } });
  try {
    const [url = ""] = narrow.urls;
    const other = await narrow.device("alice@narrow", "laptop");
    await other.messageSent({ id: "m", to: { eid: "alice@narrow" } });
    for (let n = 0; n < 4; n++) {
      const { REQUEST: type } = SignalType;
      other.send(
        "signal",
        create(SignalSchema, { id: `t${n}`, type, status: SignalStatus.TYPING, to: { eid: "b@x" } }),
      );
    }
    await other.refusal("t3");
    const client = createClient({ url, token: await narrow.token("alice@narrow", "phone"), begin: "everything" });
    const ids: string[] = [];
    client.on("message", ({ id }) => void ids.push(id));
    await client.connect();
    await eventually("the message", () => ids.length === 1);
    await client.close();
  } finally {
    await narrow.stop();
  }
});

const of = (metrics: string, name: string): number =>
  Number(new RegExp(`^${name}\\{.*\\} (.+)$`, "m").exec(metrics)?.[1] ?? 0);

test("a device that was away for 5,000 messages gets them, and gives each of its receipts", {
  timeout: 180_000,
}, async () => {
  const count = 5_000;
  const alice = await system.device("alice@away", "phone");
  await store("bob@away", alice.eid, count);
  const { client, states, errors } = await open("bob@away");
  let came = 0;
  client.on("message", () => void came++);
  await client.connect();
  const delivered = (): number => alice.of("signal").filter(({ status }) => status === SignalStatus.DELIVERED).length;
  await eventually(
    () => `all receipts: ${delivered()} of ${came} messages; ${states.join()}; ${errors.join()}`,
    () => delivered() === count,
    150_000,
  );
  expect([came, states, errors]).toEqual([count, ["connecting", "replaying", "online"], []]);
  const metrics = await system.metrics();
  expect(of(metrics, "bimip_gateway_abuse_closed_total")).toBe(0);
  await client.close();
  // Everything was acknowledged: nothing comes again.
  const again = await system.device("bob@away", "phone");
  expect(again.of("message")).toEqual([]);
});
