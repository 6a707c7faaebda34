// Hostile names as accounts and devices. Each is either refused with an error that names the field, or an ordinary name from end to
// end: nobody hears what is meant for another, and no connection to NATS is lost over it. Other fields: hostile-fields.test.ts.
// Cannot show: names that a later nats-server would take for something else.
import { call, connectNats, type Link, PROCEDURES } from "@bimip/nats";
import { ContactAction, ContactRelationship, encodeStanza, MessageSchema, SignalSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device, HttpRefusal } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { errorTo, exceptions, natsConnections, refusedAt } from "../kit/hostile.js";
import { HOSTILE_NAMES, isName, printable } from "../kit/hostile-names.js";
import { withText } from "../kit/raw-text.js";
import { SECRET, startSystem, type System } from "../kit/system.js";
import { hmac, rawToken } from "../kit/token-keys.js";

const EID_BYTES = 255;
const DEVICE_BYTES = 128;
const NAMES = HOSTILE_NAMES.map(({ name }) => name);
const BYSTANDER = "bystander@x";
/** Stands in a frame until the name takes its place: a program could not put all of them there. */
const PLACE = "@@place@@";

const logged: string[] = [];
let system: System;
let link: Link;
let connectionsBefore: string[];
/** One account per name that is one. */
const spies = new Map<string, Device>();
let sender: Device;
let bystander: Device;

beforeAll(async () => {
  system = await startSystem({ gateways: 2, onLog: (line) => void logged.push(line) });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  connectionsBefore = await natsConnections(link);
  sender = await system.device("sender@x", "phone");
  bystander = await system.device(BYSTANDER, "phone", { gateway: 1 });
});
afterAll(async () => {
  for (const { socket } of spies.values()) socket.terminate();
  await link.nc.close();
  await system.stop();
});

const fits = (bytes: number): string[] => NAMES.filter((name) => isName(name, bytes));
const misfits = (bytes: number): string[] => NAMES.filter((name) => !isName(name, bytes));
const heardBy = (device: Device): string[] => device.of("message").map(({ payload }) => payload?.data["for"] ?? "");

/** What a connection with these claims comes to: a device, or the text of the refusal. */
async function connect(claims: object, options: { query?: string; gateway?: number } = {}): Promise<Device | string> {
  const { query = "", gateway = 0 } = options;
  const token = rawToken({ alg: "HS256", typ: "JWT" }, claims, hmac(Buffer.from(SECRET)));
  try {
    return await Device.open(system.urls[gateway] ?? "", { token, query, settle: false });
  } catch (error) {
    if (error instanceof HttpRefusal) return error.message;
    throw error;
  }
}

const shown = (answer: Device | string): string => (typeof answer === "string" ? `"${answer}"` : "a session");

test("there are enough of them, of both kinds", () => {
  expect(new Set(NAMES).size).toBe(NAMES.length);
  expect(fits(EID_BYTES).length).toBeGreaterThan(60);
  expect(misfits(EID_BYTES).length).toBeGreaterThan(20);
});

test.each(["eid", "sub"])("as %s of a token: an account of its own, or 401 that names the claim", async (claim) => {
  const refused = await exceptions(misfits(EID_BYTES), async (name) => {
    const answer = await connect({ [claim]: name, device_id: "phone" });
    const good = typeof answer === "string" && /^401: (?:sub|eid|token): /.test(answer);
    return good ? undefined : `got ${shown(answer)}`;
  });
  expect(refused).toEqual([]);
  const taken = await exceptions(fits(EID_BYTES), async (name) => {
    const answer = await connect({ [claim]: name, device_id: claim }, { gateway: NAMES.indexOf(name) % 2 });
    if (typeof answer === "string") return answer;
    await answer.resumed();
    if (claim === "sub") spies.set(name, answer);
    else answer.socket.terminate();
    return undefined;
  });
  expect(taken).toEqual([]);
});

test("as an EID one writes to: to that account alone, or an error that names the field", async () => {
  const frame = encodeStanza("message", create(MessageSchema, { id: "misfit", to: { eid: PLACE } }));
  const refused = await exceptions(misfits(EID_BYTES), async (name) =>
    refusedAt(await errorTo(sender, withText(frame, PLACE, name)), "message.to.eid"),
  );
  expect(refused).toEqual([]);
  for (const name of spies.keys())
    await sender.messageSent({ id: `to ${NAMES.indexOf(name)}`, to: { eid: name }, payload: { data: { for: name } } });
  const wrong: string[] = [];
  for (const [name, spy] of spies) {
    await spy.count("message", 1);
    await spy.settle();
    const heard = heardBy(spy);
    if (heard.length !== 1 || heard[0] !== name) wrong.push(`${printable(name)} heard ${heard.map(printable).join()}`);
  }
  expect(wrong).toEqual([]);
  expect(bystander.of("message")).toEqual([]);
});

test("what such an account sends comes from it", async () => {
  const wrong: string[] = [];
  for (const [name, spy] of spies) {
    const id = `from ${NAMES.indexOf(name)}`;
    await spy.messageSent({ id, to: { eid: sender.eid } });
    const { from } = await sender.until("message", (message) => message.id === id);
    if (from?.eid !== name) wrong.push(`${printable(name)} came as ${printable(from?.eid ?? "")}`);
  }
  expect(wrong).toEqual([]);
});

test("typing, contacts and presence of such accounts reach whom they concern, and nobody else", async () => {
  const some = [...spies].filter((_entry, at) => at % 3 === 0);
  for (const [name, spy] of some) {
    const following = {
      to: { eid: name },
      relationship: ContactRelationship.UNILATERAL,
      action: ContactAction.REQUEST,
    };
    sender.send("signal", create(SignalSchema, { to: { eid: name }, type: 1, status: 1 }));
    await spy.until("signal", ({ status }) => status === 1);
    await sender.contactDone(following);
    await spy.contactDone({ ...following, to: { eid: sender.eid }, action: ContactAction.ACCEPT });
    await sender.sees(name, 1);
  }
  const listing = sender.contact({ action: ContactAction.LIST });
  const rows = (): { readonly from: string; readonly to: string }[] =>
    sender
      .of("awarenessContact")
      .filter(({ trackingId }) => trackingId === listing)
      .map(({ from, to }) => ({ from: from?.eid ?? "", to: to?.eid ?? "" }));
  await eventually("the list", () => rows().at(-1)?.to === "");
  const listed = rows().map(({ from, to }) => (to === sender.eid ? from : to));
  expect(new Set(listed)).toEqual(new Set([...some.map(([name]) => name), ""]));
  const typed = [...spies].filter(([, spy]) => spy.of("signal").some(({ status }) => status === 1));
  expect(typed.map(([name]) => name)).toEqual(some.map(([name]) => name));
  expect(bystander.of("awareness")).toEqual([]);
});

test("the log of such an account is read and erased alone", async () => {
  const [star, arrow] = [spies.get("*"), spies.get(">")];
  if (star === undefined || arrow === undefined) throw new Error("these are names");
  for (const eid of ["*", ">"]) {
    const { items } = await call(link.nc, PROCEDURES.history, { eid, everything: true, limit: 200 }, 5_000);
    // What it got, what it sent, a receipt or two: its own, not those of a hundred others.
    expect(items.length).toBeGreaterThan(0);
    expect(items.length).toBeLessThan(10);
    await call(link.nc, PROCEDURES.erase, { eid }, 5_000);
    const left = await call(link.nc, PROCEDURES.history, { eid: sender.eid, everything: true, limit: 200 }, 5_000);
    expect(left.items.length).toBeGreaterThan(100);
  }
});

test.each([
  ["device_id of a token", false],
  ["?device=", true],
])("as %s: a device of its own, or 401 that names it", async (_what, inQuery) => {
  // Percent-encoding has no lone surrogates, and a request is no longer than 4 KiB.
  const device = (name: string): string => (inQuery ? Buffer.from(name).toString() : name);
  const names = NAMES.map(device).filter((name) => !inQuery || encodeURIComponent(name).length < 3_000);
  const account = inQuery ? "asked@x" : "named@x";
  const open = (name: string): Promise<Device | string> =>
    inQuery
      ? connect({ sub: account }, { query: `?device=${encodeURIComponent(name)}` })
      : connect({ sub: account, device_id: name });
  const refused = await exceptions(
    names.filter((name) => !isName(name, DEVICE_BYTES)),
    async (name) => {
      const answer = await open(name);
      const good = typeof answer === "string" && /^401: (?:device|device_id|token): /.test(answer);
      return good ? undefined : `got ${shown(answer)}`;
    },
  );
  expect(refused).toEqual([]);
  const devices = new Map<string, Device>();
  const taken = await exceptions([...new Set(names.filter((name) => isName(name, DEVICE_BYTES)))], async (name) => {
    const answer = await open(name);
    if (typeof answer === "string") return answer;
    await answer.resumed();
    devices.set(name, answer);
    return undefined;
  });
  expect(taken).toEqual([]);
  for (const [at, name] of [...devices.keys()].entries()) {
    const to = { eid: account, connectionResourceId: name };
    await sender.messageSent({ id: `${account} ${at}`, to, payload: { data: { for: name } } });
  }
  const wrong: string[] = [];
  for (const [name, socket] of devices) {
    await socket.count("message", 1);
    await socket.settle();
    const heard = heardBy(socket);
    if (heard.length !== 1 || heard[0] !== name) wrong.push(`${printable(name)} heard ${heard.map(printable).join()}`);
  }
  expect(wrong).toEqual([]);
  for (const { socket } of devices.values()) socket.terminate();
});

test("no connection to NATS was lost, and nothing failed within", async () => {
  expect(await natsConnections(link)).toEqual(connectionsBefore);
  expect(connectionsBefore.length).toBeGreaterThanOrEqual(6);
  expect(logged.filter((line) => /"level":"(?:error|fatal)"|NATS is/.test(line))).toEqual([]);
});
