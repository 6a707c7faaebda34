// Query SESSIONS over three gateways: which sessions of one's own account are open, where, since when, from which address.
import { type ErrorMessage, type Page, QuerySchema, QueryType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
let count = 0;
beforeAll(async () => {
  system = await startSystem({ gateways: 3, awareness: 2 });
});
afterAll(() => system.stop());

function ask(device: Device): string {
  const id = `sessions-${++count}`;
  device.send("query", create(QuerySchema, { id, type: QueryType.SESSIONS }));
  return id;
}

async function pageOf(device: Device): Promise<Page> {
  const id = ask(device);
  return device.until("page", (page) => page.id === id);
}

const names = (page: Page): string[] => page.sessions.map(({ device }) => device);

test("each open session of the account with its gateway, since when and from where; one of them is the one that asks", async () => {
  const before = Date.now();
  const devices = new Map<string, Device>();
  for (const [at, name] of ["phone", "laptop", "tablet"].entries()) {
    devices.set(name, await system.device("alice@x", name, { gateway: at, settle: false }));
    // Since when is told in milliseconds.
    await eventually("a millisecond passed", () => Date.now() > before + at);
  }
  await system.device("bob@x", "phone");
  for (const [asking, device] of devices) {
    const page = await eventually(`all that ${asking} is told of`, async () => {
      const answer = await pageOf(device);
      return answer.sessions.length === 3 ? answer : undefined;
    });
    expect(page).toMatchObject({ done: true, next: 0n, items: [], unread: [] });
    expect(names(page)).toEqual(["tablet", "laptop", "phone"]); // the newest first
    expect(page.sessions.map(({ node }) => node)).toEqual(["gateway-3", "gateway-2", "gateway-1"]);
    for (const row of page.sessions) {
      expect(row.current).toBe(row.device === asking);
      expect(row.address).toMatch(/127\.0\.0\.1$/);
      expect(Number(row.since)).toBeGreaterThanOrEqual(before - 5);
      expect(row.since <= row.lastSeen).toBe(true);
      expect(Math.abs(Number(row.lastSeen) - Date.now())).toBeLessThan(10_000);
    }
  }
});

test("a session that asks right after it connected finds itself; one that ended is not there any more", async () => {
  for (let round = 0; round < 20; round++) {
    const eid = `quick${round}@x`;
    const gone = await system.device(eid, "gone", { gateway: round % 3, settle: false });
    await gone.close();
    const here = await system.device(eid, "here", { gateway: (round + 1) % 3, settle: false });
    const page = await pageOf(here);
    expect(page.sessions.filter(({ current }) => current)).toMatchObject([{ device: "here" }]);
    await eventually("the other one is not told", async () => names(await pageOf(here)).join() === "here");
  }
});

test("no registry answers: 503 with the query's id, and the session lives on", async () => {
  const own = await startSystem();
  try {
    const device = await own.device("alone@x", "phone");
    await pageOf(device);
    await own.stopServices("awareness");
    const error: ErrorMessage = await device.refusal(ask(device));
    expect(error).toMatchObject({ code: 503 });
    await device.settle();
  } finally {
    await own.stop();
  }
});
