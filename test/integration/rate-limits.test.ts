// How fast a session and a user may send, what they are told beyond, and what ends a session that goes on nevertheless.
import { create } from "@bufbuild/protobuf";
import {
  AwarenessSchema,
  encodePayload,
  encodeStanza,
  type ErrorMessage,
  EventSchema,
  MessageSchema,
  PingPongSchema,
  PingPongType,
  PushNotificationSchema,
  SignalSchema,
  SignalStatus,
  SignalType,
} from "@bimip/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

interface AuditLine {
  readonly reason: string;
  readonly code: number;
  readonly eid: string;
  readonly device: string;
  readonly address: string;
  readonly details: string;
}

const audited: AuditLine[] = [];
let system: System;
beforeAll(async () => {
  system = await startSystem({
    env: {
      BIMIP_RATE_MESSAGES: "4/3",
      BIMIP_RATE_SIGNALS: "0.5/5",
      BIMIP_RATE_AWARENESS: "0.5/3",
      BIMIP_RATE_AWARENESS_USER: "0.25/5",
      BIMIP_RATE_LOCATION: "0.5/2",
      BIMIP_RATE_OTHER: "0.5/4",
      BIMIP_ABUSE_REFUSALS: "50",
      BIMIP_ABUSE_WINDOW_S: "2",
    },
    onLog(line) {
      const { audit } = JSON.parse(line) as { audit?: AuditLine };
      if (audit !== undefined) audited.push(audit);
    },
  });
});
afterAll(() => system.stop());

/** A device that was told its RESUME's end, and has sent nothing. */
const open = (eid: string, device = "phone", scope?: string): Promise<Device> =>
  system.device(eid, device, scope === undefined ? {} : { scope });

/** Seconds after which to try again, as the text says it. */
function told({ details }: ErrorMessage): number {
  const seconds = /, try again in (\d+(?:\.\d+)?) s$/.exec(details)?.[1];
  if (seconds === undefined) throw new Error(`no time in: ${details}`);
  return Number(seconds);
}

/** Waits as long as an error says, and not longer. */
async function wait(error: ErrorMessage): Promise<void> {
  const untilMs = performance.now() + told(error) * 1_000;
  await eventually("the time that was told", () => performance.now() >= untilMs);
}

function ping(device: Device, id: string): void {
  device.send("pingPong", create(PingPongSchema, { id, type: PingPongType.PING }));
}

describe("a session that is too fast", () => {
  test("is told when to send each refused message again; then it is taken", async () => {
    const [alice, bob] = await Promise.all([open("alice@one"), open("bob@one")]);
    const to = { eid: bob.eid };
    for (const id of ["m1", "m2", "m3", "m4", "m5"]) alice.message({ id, to });
    const [first, second] = [await alice.refusal("m4"), await alice.refusal("m5")];
    for (const error of [first, second]) {
      expect(error).toMatchObject({ code: 429, errorOrigin: 1 });
      expect(error.details).toMatch(/^message: more than 4 a second, try again in 0\.\d{1,3} s$/);
    }
    await wait(second);
    alice.message({ id: "m4", to });
    await alice.sent("m4", bob.eid);
    expect((await bob.count("message", 4)).map(({ id }) => id)).toEqual(["m1", "m2", "m3", "m4"]);
  });

  test("does not have a later message overtake a refused one", async () => {
    const [alice, bob, carol] = await Promise.all([open("alice@two"), open("bob@two"), open("carol@two")]);
    const to = { eid: bob.eid };
    for (const id of ["m1", "m2", "m3", "m4"]) alice.message({ id, to });
    const refused = await alice.refusal("m4");
    await wait(refused);
    alice.message({ id: "m5", to });
    expect(await alice.refusal("m5")).toMatchObject({ code: 503 });
    await wait(refused);
    // Only to that recipient.
    await alice.messageSent({ id: "other", to: { eid: carol.eid } });
    for (const id of ["m4", "m5"]) {
      await wait(refused);
      await alice.messageSent({ id, to });
    }
    expect((await bob.count("message", 5)).map(({ id }) => id)).toEqual(["m1", "m2", "m3", "m4", "m5"]);
  });

  test("has no message wait for what is not stored: an event, a push that its token may not send", async () => {
    const [alice, bob] = await Promise.all([open("alice@three"), open("bob@three")]);
    const to = { eid: bob.eid };
    for (const id of ["m1", "m2", "m3"]) alice.message({ id, to });
    alice.send("event", create(EventSchema, { id: "e4", to, type: "call.offer" }));
    alice.send("pushNotification", create(PushNotificationSchema, { id: "p5", to, type: "news" }));
    expect(await alice.refusal("e4")).toMatchObject({ code: 429 });
    const refused = await alice.refusal("p5");
    expect(refused).toMatchObject({ code: 429 });
    await wait(refused);
    await alice.messageSent({ id: "m6", to });
  });

  test("has a limit for each class of stanzas", async () => {
    const device = await open("classes@x");
    for (let n = 1; n <= 5; n++) {
      device.awareness({ id: `a${n}`, status: 1 });
      device.location({ id: `l${n}`, latitude: 1, longitude: 1 });
      ping(device, `p${n}`);
    }
    const refusals = await device.count("error", 6);
    expect(refusals.map(({ code, id, details }) => [code, id, details.replace(/[\d.]+ s$/, "N s")])).toEqual([
      [429, "l3", "location_stream: more than 0.5 a second, try again in N s"],
      [429, "a4", "awareness: more than 0.5 a second, try again in N s"],
      [429, "l4", "location_stream: more than 0.5 a second, try again in N s"],
      [429, "a5", "awareness: more than 0.5 a second, try again in N s"],
      [429, "l5", "location_stream: more than 0.5 a second, try again in N s"],
      [429, "p5", "ping_pong: more than 0.5 a second, try again in N s"],
    ]);
    for (let n = 1; n <= 6; n++) {
      const signal = { id: `s${n}`, type: SignalType.REQUEST, status: SignalStatus.TYPING, to: { eid: "bob@x" } };
      device.send("signal", create(SignalSchema, signal));
    }
    expect(await device.refusal("s6")).toMatchObject({ code: 429 });
    expect(device.of("error").filter(({ id }) => id.startsWith("s"))).toHaveLength(1);
  });

  test("cannot hide what it sends behind fields that nobody knows", async () => {
    const device = await open("hides@x");
    const unknown = Uint8Array.of(0xfa, 0x3f, 0);
    const hidden = (id: string): Uint8Array =>
      Buffer.concat([unknown, encodeStanza("message", create(MessageSchema, { id, to: { eid: "bob@x" } }))]);
    for (let n = 1; n <= 4; n++) device.sendBytes(hidden(`m${n}`));
    expect((await device.refusal("m4")).details).toMatch(/^message: more than 4/);
    for (let n = 5; n <= 9; n++) device.sendBytes(hidden(`m${n}`));
    const frame = await device.until("error", ({ details }) => details.startsWith("frame: "));
    expect(frame).toMatchObject({ code: 429, id: "m5" });
  });

  test("is not answered for each of what has no id", async () => {
    const device = await open("nameless@x");
    for (let n = 0; n < 40; n++) device.sendBytes(Uint8Array.of(0xff, n));
    ping(device, "end");
    await device.refusal("end");
    const codes = device.of("error").map(({ code }) => code);
    expect(codes).toEqual([400, 400, 400, 400, 429, 429]);
    expect(device.closed).toBeUndefined();
  });

  test("is refused before what it sends is read: whatever is in it, and however long it is", async () => {
    const device = await open("unread@x");
    for (let n = 1; n <= 3; n++) device.message({ id: `m${n}`, to: { eid: "bob@x" } });
    // A message with an id, and then what no decoder takes.
    const payload = Buffer.concat([Uint8Array.of(0x0a, 3, 0x62, 0x61, 0x64), new Uint8Array(50_000).fill(0xff)]);
    device.sendBytes(encodePayload("message", payload));
    const large = create(MessageSchema, {
      id: "large",
      to: { eid: "bob@x" },
      payload: { data: { t: "x".repeat(70_000) } },
    });
    device.send("message", large);
    const errors = await device.count("error", 1);
    expect(errors).toMatchObject([{ code: 429, id: "" }]);
  });
});

describe("a user's sessions", () => {
  test("may together send what a user may; a new session brings nothing new", async () => {
    const [one, two] = await Promise.all([open("many@x", "one"), open("many@x", "two")]);
    const send = (device: Device, ids: readonly string[]): void => {
      for (const id of ids) device.awareness({ id, status: 1 });
    };
    send(one, ["a1", "a2", "a3"]);
    await one.settle();
    send(two, ["a4", "a5", "a6"]);
    const error = await two.refusal("a6");
    expect(error.details).toMatch(/^awareness: more than 0.25 a second of this account, try again in [\d.]+ s$/);
    expect([...one.of("error"), ...two.of("error")]).toHaveLength(1);
    await one.close();
    const three = await open("many@x", "three");
    send(three, ["a7"]);
    expect((await three.refusal("a7")).code).toBe(429);
  });
});

describe("abuse", () => {
  /** Sends until the socket is closed. */
  async function flood(device: Device, send: (n: number) => void): Promise<void> {
    let n = 0;
    await eventually("the end of the flood", () => {
      for (let left = 20; left > 0 && device.closed === undefined; left--) send(n++);
      return device.closed;
    });
  }

  test.each([
    ["messages", (device: Device, n: number) => void device.message({ id: `m${n}`, to: { eid: "bob@x" } })],
    ["bytes that are no stanza", (device: Device, n: number) => device.sendBytes(Uint8Array.of(0xff, n & 0xff))],
    ["presence", (device: Device) => device.send("awareness", create(AwarenessSchema, { type: 1, status: 1 }))],
  ])("%s: 429 with a time to come back, then 4429, then the door, then all is well again", async (name, send) => {
    const eid = `flooder@${name.replaceAll(" ", "-")}`;
    const flooder = await open(eid);
    await flood(flooder, (n) => send(flooder, n));
    expect(await flooder.closing()).toEqual({ code: 4429, reason: "closed for 50 refused stanzas, try again in 2 s" });
    const errors = flooder.of("error");
    expect(told(errors.filter(({ code }) => code === 429)[0] as ErrorMessage)).toBeGreaterThan(0);
    expect(errors.at(-1)).toMatchObject({ code: 429, details: "closed for 50 refused stanzas, try again in 2 s" });
    const refusal = await open(eid).then(() => "let in", String);
    expect(refusal).toMatch(/429: too many refused stanzas of this account, try again in [\d.]+ s$/);
    await open("neighbour@x");
    const again = await eventually("the flooder is back", () => open(eid));
    await eventually("it may send again", () =>
      again.messageSent({ id: `after-${Math.random()}`, to: { eid: "bob@x" } }),
    );
    const { address } = audited.find((line) => line.eid === eid && line.reason === "abuse") ?? {};
    expect(address).toBe("127.0.0.1");
    expect(audited.filter((line) => line.eid === eid).map(({ reason }) => reason)).toContain("rate");
  });

  test("who has a lot under way when it is told, and waits from then on, is not closed", async () => {
    const device = await open("patient@x");
    let count = 0;
    const send = (): string => {
      const id = `m${count++}`;
      device.message({ id, to: { eid: `${id}@x` } });
      return id;
    };
    for (let n = 0; n < 500; n++) send();
    let refused = await device.refusal("m499");
    for (let round = 0; round < 8; round++) {
      await wait(refused);
      refused = await eventually("the next refusal", async () => {
        const id = send();
        await eventually("an answer", () =>
          [...device.of("signal"), ...device.of("error")].some((one) => one.id === id),
        );
        return device.of("error").find((error) => error.id === id);
      });
    }
    expect(device.closed).toBeUndefined();
  });
});

test("what is refused stands in the log once, with who and where from", async () => {
  const device = await open("audited@x");
  device.sendBytes(Uint8Array.of(0xff));
  device.message({ id: "", to: { eid: "bob@x" } });
  device.message({ id: "lie", to: { eid: "bob@x" }, from: { eid: "somebody@else" } });
  await device.refusal("lie");
  const lines = audited.filter(({ eid }) => eid === "audited@x");
  const who = { eid: "audited@x", device: "phone", address: "127.0.0.1" };
  expect(lines).toMatchObject([
    { reason: "malformed", code: 400, ...who },
    { reason: "forbidden", code: 403, ...who, details: "message.from.eid: is not the EID of this session" },
  ]);
});

test("metrics tell what was refused", async () => {
  const metrics = await system.metrics();
  expect(metrics).toMatch(/bimip_gateway_rate_refusals_total\{limit="messages",of="session",service="gateway"\} \d+/);
  expect(metrics).toMatch(/bimip_gateway_rate_refusals_total\{limit="awareness",of="user",service="gateway"\} \d+/);
  expect(metrics).toMatch(/bimip_gateway_abuse_closed_total\{service="gateway"\} 3/);
});
