import { afterAll, beforeAll, test } from "vitest";
import { jetstreamManager } from "@nats-io/jetstream";
import { HttpReceiver } from "../kit/http-receiver.js";
import { eventually } from "../kit/eventually.js";
import { type PushSystem, startPushSystem } from "../kit/push-system.js";
let push: PushSystem; let receiver: HttpReceiver;
const webhook = () => ({ BIMIP_PUSH_WEBHOOK_URL: `${receiver.url}/hook?tenant=1` });
beforeAll(async () => { push = await startPushSystem(); receiver = await HttpReceiver.start(); });
afterAll(() => push.stop());
test("x", async () => {
  const t0 = performance.now(); const log = (...x: unknown[]) => console.log(Math.round(performance.now() - t0), ...x);
  const jsm = await jetstreamManager(push.link.nc);
  const show = async () => { const i = await jsm.consumers.info("BIMIP_PUSH", "router"); log(JSON.stringify((i as any).priority_groups), i.num_pending, i.num_ack_pending, i.num_waiting, JSON.stringify(i.config.priority_timeout)); };
  receiver.answer = ({ body }) => ({ status: 200, afterMs: body.includes('"b-hang@x"') ? Infinity : 0 });
  let router = await push.router({ ...webhook(), BIMIP_PUSH_TIMEOUT_MS: "5000", BIMIP_PUSH_MAX_TRIES: "1" });
  const alice = await push.system.device("a-hang@x", "phone");
  { const pre = await push.router(webhook()); await push.quiet(); await pre.stop(); log("pre"); await show(); }
  await alice.messageSent({ id: "m1", to: { eid: "b-hang@x" } });
  await receiver.count("b-hang@x", 1);
  for (let n = 0; n < 50; n++) await alice.messageSent({ id: "m1", to: { eid: `free${n}@x` } });
  await eventually("50 others", () => receiver.pushes().length === 51);
  log("51"); await show();
  await router.stop(); log("stopped"); await show();
  const next = await push.router(webhook()); log("second"); await show();
  const iv = setInterval(() => void show(), 1000);
  await push.quiet(); log("quiet"); clearInterval(iv); await next.stop();
});
