// What a gateway knows of who may write to whom, and when it forgets that. The router is played by the test, so that an answer
// can be held back while a block is made.
import { connectNats, type Link, PROCEDURES, QUEUES, serve, SUBJECTS } from "@bimip/nats";
import { FlowChangedSchema } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { FlowPolicy } from "../../services/gateway/src/flow-policy.js";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

const OPTIONS = { partitions: 2, freshMs: 60_000, deadlineMs: 10_000 };

let nats: Awaited<ReturnType<typeof startTestNats>>;
let gateway: Link;
let router: Link;
let policy: FlowPolicy;
/** What the router answers now. */
let code: number;
/** The router's answers wait for this. */
let gate: Promise<void>;
let open: () => void;
const asked: string[] = [];

beforeAll(async () => {
  nats = await startTestNats();
  gateway = await connectNats({ servers: nats.url, name: "gateway" });
  router = await connectNats({ servers: nats.url, name: "router" });
  serve(
    router.nc,
    PROCEDURES.flow,
    QUEUES.router,
    async ({ fromEid, toEid }) => {
      const answer = { code, details: code === 0 ? "" : "to.eid: no" };
      asked.push(`${fromEid}>${toEid}`);
      await gate;
      return answer;
    },
    (error) => {
      throw error;
    },
  );
  await router.nc.flush();
});
beforeEach(async () => {
  policy = new FlowPolicy(gateway, OPTIONS);
  await gateway.nc.flush();
  asked.length = 0;
  code = 0;
  gate = Promise.resolve();
});
afterAll(async () => {
  await gateway.nc.close();
  await router.nc.close();
  await nats.remove();
});

function hold(): void {
  gate = new Promise((resolve) => {
    open = resolve;
  });
}

/** Says so, and waits until the gateway has heard it. */
async function changed(eid: string, otherEid: string): Promise<void> {
  const heard = new Promise<void>((resolve) => {
    gateway.nc.subscribe(SUBJECTS.flowChanged, { max: 1, callback: () => resolve() });
  });
  await gateway.nc.flush();
  router.nc.publish(SUBJECTS.flowChanged, toBinary(FlowChangedSchema, create(FlowChangedSchema, { eid, otherEid })));
  await heard;
}

test("a flow is asked for once; word of a change makes both directions be asked anew, and no other", async () => {
  await policy.decide("a", "b");
  await policy.decide("b", "a");
  await policy.decide("a", "c");
  expect(policy.known("a", "b")).toMatchObject({ refusal: undefined });
  await changed("b", "a");
  expect([policy.known("a", "b"), policy.known("b", "a")]).toEqual([undefined, undefined]);
  expect(policy.known("a", "c")).toMatchObject({ refusal: undefined });
  code = 403;
  expect((await policy.decide("a", "b")).refusal).toMatchObject({ code: 403 });
  expect(policy.known("a", "b")?.refusal).toMatchObject({ code: 403 });
  expect(asked).toEqual(["a>b", "b>a", "a>c", "a>b"]);
});

test("an answer that was under way when the word came is not gone by: the router is asked again", async () => {
  hold();
  const deciding = policy.decide("a", "b");
  await eventually("the router was asked", () => asked.length === 1);
  code = 403; // what it answers from now on; the first answer was made before
  await changed("a", "b");
  open();
  expect((await deciding).refusal).toMatchObject({ code: 403 });
  expect(policy.known("a", "b")?.refusal).toMatchObject({ code: 403 });
  expect(asked).toEqual(["a>b", "a>b"]);
});

test("word of others leaves an answer under way alone", async () => {
  hold();
  const deciding = policy.decide("a", "b");
  await eventually("the router was asked", () => asked.length === 1);
  await changed("a", "c");
  open();
  await deciding;
  expect(asked).toEqual(["a>b"]);
});

test("a flow that is asked again behind the traffic is forgotten like any other", async () => {
  const eager = new FlowPolicy(gateway, { ...OPTIONS, freshMs: 0 });
  await gateway.nc.flush();
  await eager.decide("a", "b");
  hold();
  expect(eager.known("a", "b")?.refusal).toBeUndefined();
  await eventually("the router was asked again", () => asked.length === 2);
  code = 403;
  await changed("a", "b");
  expect(eager.known("a", "b")).toBeUndefined();
  open();
  await eventually("the router was asked anew", () => asked.length === 3);
  await eventually("its new answer is known", () => eager.known("a", "b")?.refusal?.code === 403);
});

test("what was asked before NATS was away is asked anew when it is back: the word may have been lost meanwhile", async () => {
  await policy.decide("a", "b");
  hold();
  const deciding = policy.decide("b", "c");
  await eventually("the router was asked", () => asked.length === 2);
  code = 403;
  const back = new Promise<void>((resolve) => {
    const stop = gateway.onChange((up) => {
      if (!up) return;
      stop();
      resolve();
    });
  });
  await gateway.nc.reconnect();
  await back;
  open();
  expect((await deciding).refusal).toMatchObject({ code: 403 });
  expect(policy.known("a", "b")).toBeUndefined();
});
