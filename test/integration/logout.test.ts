// Logout of a session, a device and an account, own and others', over three gateways: who is told what, how their connections end, and whose
// tokens are good afterwards. What revocation does to sessions is in revocation.test.ts.
import { IdentitySchema, type Logout, LogoutSchema, LogoutStatus, LogoutType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const { DEVICE, SESSION, ACCOUNT } = LogoutType;
const { SUCCESS, FAILED } = LogoutStatus;

let system: System;
let eid = "";
let count = 0;
beforeAll(async () => {
  system = await startSystem({ gateways: 3 });
});
afterAll(() => system.stop());
beforeEach(() => {
  eid = `user${++count}@x`;
});

function logOut(device: Device, type: number, to?: { eid?: string; device?: string }): void {
  const { eid: named = "", device: connectionResourceId } = to ?? {};
  const identity = connectionResourceId === undefined ? { eid: named } : { eid: named, connectionResourceId };
  const logout = { type, ...(to === undefined ? {} : { to: create(IdentitySchema, identity) }) };
  device.send("logout", create(LogoutSchema, logout));
}

async function answered(device: Device): Promise<Logout> {
  return device.until("logout");
}

/** Told by a Logout of this type, and closed with this code. */
async function expectEnd(device: Device, type: number, code: number): Promise<Logout> {
  const closing = await device.closing();
  expect(closing.code).toBe(code);
  const told = device.of("logout");
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ type, status: SUCCESS, to: { eid } });
  expect(device.of("error")).toEqual([]);
  return told[0] as Logout;
}

/** Whether a token that was made before lets in. */
async function letsIn(token: string, gateway = 0): Promise<boolean> {
  try {
    const device = await Device.open(system.urls[gateway] ?? "", { token });
    device.socket.terminate();
    return true;
  } catch {
    return false;
  }
}

const opened = async (name: string, gateway = 0, scope?: string): Promise<Device> =>
  system.device(eid, name, { gateway, ...(scope === undefined ? {} : { scope }) });

test("SESSION without `to`: one's own, answered and closed with 1000; its token is good for a new one", async () => {
  const token = await system.token(eid, "phone");
  const [phone, laptop] = [await opened("phone"), await opened("laptop", 1)];
  logOut(phone, SESSION);
  const { to, details } = await expectEnd(phone, SESSION, 1000);
  expect([to?.connectionResourceId, to?.node, details]).toEqual(["phone", "gateway-1", ""]);
  expect(await letsIn(token)).toBe(true);
  await laptop.settle();
  expect(laptop.of("logout")).toEqual([]);
});

test.each([0, 1, 2])(
  "SESSION of another device, which is on gateway %i: it is told and closed with 4401, the tokens stay good",
  async (gateway) => {
    const token = await system.token(eid, "tablet");
    const [phone, tablet] = [await opened("phone"), await opened("tablet", gateway)];
    logOut(phone, SESSION, { device: "tablet" });
    expect(await answered(phone)).toMatchObject({
      type: SESSION,
      status: SUCCESS,
      to: { eid, connectionResourceId: "tablet" },
    });
    const { details, to } = await expectEnd(tablet, SESSION, 4401);
    expect([details, to?.node]).toEqual(["logged out by the device phone", `gateway-${gateway + 1}`]);
    expect(await letsIn(token, gateway)).toBe(true);
    await phone.settle();
    expect(phone.closed).toBeUndefined();
  },
);

test("SESSION of a device that is not connected: FAILED with the reason", async () => {
  const phone = await opened("phone");
  for (const gone of ["never-seen", "gone"]) {
    if (gone === "gone") await (await opened("gone", 1)).close();
    logOut(phone, SESSION, { eid, device: gone });
    const told = await eventually("an answer", () =>
      phone.of("logout").find(({ to }) => to?.connectionResourceId === gone),
    );
    // It may have ended only while it was looked for.
    if (gone === "never-seen")
      expect(told).toMatchObject({ type: SESSION, status: FAILED, details: "404: no session of this device is open" });
  }
  expect(phone.closed).toBeUndefined();
});

test("DEVICE without `to`: one's own, closed with 1000, and its tokens are refused; the other devices' are not", async () => {
  const [token, other] = [await system.token(eid, "phone"), await system.token(eid, "laptop")];
  const [phone, laptop] = [await opened("phone"), await opened("laptop", 1)];
  logOut(phone, DEVICE);
  await expectEnd(phone, DEVICE, 1000);
  for (const gateway of [0, 1, 2])
    expect(await eventually("refused", async () => !(await letsIn(token, gateway)))).toBe(true);
  await laptop.settle();
  expect(laptop.of("logout")).toEqual([]);
  expect(await letsIn(other)).toBe(true);
});

test("DEVICE of another device: it is told and closed with 4401, its tokens are refused, whether it is connected or not", async () => {
  const [phone, tablet] = [await opened("phone"), await opened("tablet", 2)];
  const tokens = { tablet: await system.token(eid, "tablet"), absent: await system.token(eid, "absent") };
  await (await opened("absent", 1)).close();
  let answers = 0;
  for (const device of ["tablet", "absent"] as const) {
    // Once it is registered.
    await eventually(`${device} is logged out`, async () => {
      logOut(phone, DEVICE, { device });
      const told = (await phone.count("logout", ++answers)).at(-1);
      return told?.to?.connectionResourceId === device && told.status === SUCCESS;
    });
    expect(await eventually("refused", async () => !(await letsIn(tokens[device], 1)))).toBe(true);
  }
  await expectEnd(tablet, DEVICE, 4401);
  await phone.settle();
});

test("DEVICE of a name that nobody ever came in with: FAILED naming the field; nothing is kept of it", async () => {
  const phone = await opened("phone");
  const revocations = async (): Promise<string | undefined> =>
    /^bimip_gateway_revocations\{[^}]*\} \d+/m.exec(await system.metrics())?.[0];
  const before = await revocations();
  logOut(phone, DEVICE, { device: "made up" });
  expect(await answered(phone)).toMatchObject({
    type: DEVICE,
    status: FAILED,
    to: { eid, connectionResourceId: "made up" },
    details: "404: logout.to.connection_resource_id: no device of this name was ever seen",
  });
  expect([await revocations(), phone.closed]).toEqual([before, undefined]);
});

test("ACCOUNT: the one that asks is answered and closed with 1000, all others are told and closed with 4401, all tokens so far refused", async () => {
  const others = await Promise.all(Array.from({ length: 12 }, (_, at) => opened(`device${at}`, at % 3)));
  const phone = await opened("phone", 1);
  const tokens = await Promise.all(["phone", "device3", "new"].map((device) => system.token(eid, device)));
  const neighbour = await system.device("neighbour@x", "phone");
  const askedMs = performance.now();
  logOut(phone, ACCOUNT);
  await expectEnd(phone, ACCOUNT, 1000);
  for (const device of others) await expectEnd(device, ACCOUNT, 4401);
  process.stdout.write(
    `an account with 13 devices on 3 gateways: all closed in ${(performance.now() - askedMs).toFixed(0)} ms\n`,
  );
  for (const token of tokens) for (const gateway of [0, 1, 2]) expect(await letsIn(token, gateway)).toBe(false);
  await neighbour.settle();
  expect(neighbour.of("logout")).toEqual([]);
});

test("another account: 403 naming the field, unless the token has the scope admin; then the one that asks stays", async () => {
  const victim = await opened("phone", 1);
  const stranger = await system.device("stranger@x", "phone");
  for (const [at, type] of [SESSION, DEVICE, ACCOUNT].entries()) {
    logOut(stranger, type, { eid, device: "phone" });
    const errors = await stranger.count("error", at + 1);
    expect(errors.at(-1)).toMatchObject({
      code: 403,
      details: "logout.to.eid: is another account, which takes the scope admin",
    });
  }
  await victim.settle();
  expect(victim.of("logout")).toEqual([]);
  const admin = await system.device("admin@x", "console", { scope: "admin", gateway: 2 });
  logOut(admin, SESSION, { eid, device: "phone" });
  expect((await expectEnd(victim, SESSION, 4401)).details).toBe("logged out by an administrator");
  const again = [await opened("phone"), await opened("laptop", 1)];
  logOut(admin, ACCOUNT, { eid });
  for (const device of again) await expectEnd(device, ACCOUNT, 4401);
  const told = await admin.count("logout", 2);
  expect(told.map(({ type, status }) => [type, status])).toEqual([
    [SESSION, SUCCESS],
    [ACCOUNT, SUCCESS],
  ]);
  expect(told[1]?.to).toMatchObject({ eid });
  expect(told[1]?.to?.connectionResourceId).toBeUndefined();
  await admin.settle();
});

test.each([
  [{ type: 0 }, "logout.type: is missing"],
  [{ type: 9 }, "logout.type: is 9, must be one of 1 DEVICE, 2 SESSION, 3 ACCOUNT"],
  [{ type: 1, status: 1 }, "logout.status: is 1 SUCCESS, which only the server sends"],
  [{ type: 1, to: { eid: "a\u0000b" } }, "logout.to.eid: holds the control character U+0000"],
])("a wrong one, %j: 422 naming the field", async (init, details) => {
  const phone = await opened("phone");
  phone.send("logout", create(LogoutSchema, init));
  const error = await phone.until("error");
  expect(error.code).toBe(422);
  expect(error.details).toContain(details);
});

test("an administrator who names no device: 422 naming the field", async () => {
  const admin = await system.device("admin@x", "console", { scope: "admin" });
  for (const [at, type] of [SESSION, DEVICE].entries()) {
    logOut(admin, type, { eid });
    expect((await admin.count("error", at + 1)).at(-1)).toMatchObject({
      code: 422,
      details: "logout.to.connection_resource_id: is missing",
    });
  }
});

test("a session that logged out is no writer any more: what it sends behind that in the same moment is not stored", async () => {
  const phone = await opened("phone");
  const to = `${eid}.reader`;
  phone.message({ id: "before", to: { eid: to } });
  await phone.sent("before", to);
  logOut(phone, SESSION);
  for (let n = 0; n < 20; n++) phone.message({ id: `behind${n}`, to: { eid: to } });
  await expectEnd(phone, SESSION, 1000);
  const reader = await system.device(to, "reader", { everything: true });
  const ids = reader.of("message").map(({ id }) => id);
  expect(ids).toEqual(["before"]);
});

test("the router is away: FAILED with 503, nobody is closed, and SESSION works all the same", async () => {
  const own = await startSystem({ gateways: 2 });
  try {
    const [phone, laptop] = [await own.device("a@x", "phone"), await own.device("a@x", "laptop", { gateway: 1 })];
    await own.stopServices("router");
    for (const [at, type] of [ACCOUNT, DEVICE].entries()) {
      logOut(phone, type);
      const told = (await phone.count("logout", at + 1)).at(-1);
      expect(told).toMatchObject({ type, status: FAILED });
      expect(told?.details).toMatch(/^503: /);
    }
    await Promise.all([phone.settle(), laptop.settle()]);
    logOut(phone, SESSION, { device: "laptop" });
    expect((await laptop.closing()).code).toBe(4401);
    expect((await phone.count("logout", 3)).at(-1)).toMatchObject({ type: SESSION, status: SUCCESS });
  } finally {
    await own.stop();
  }
});
