// The SDK in a real Chromium against the real services: bundled as an app would bundle it, served from 127.0.0.1.
// Needs Chromium or Chrome: `npm run test:browser` installs it with scripts/install-chromium.mjs, or BIMIP_CHROMIUM = the binary.
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import type * as bimip from "@bimip/client";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

/** What the page's own code and the tests share. */
interface PageGlobals {
  bimip: typeof bimip;
  client: bimip.BimipClient;
  texts: string[];
  states: string[];
  /** A backend that issues tokens. */
  freshToken: () => Promise<string>;
  localStorage: {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
  };
}

const PLACES = [process.env["BIMIP_CHROMIUM"] ?? "", "/usr/bin/chromium", "/usr/bin/google-chrome"];
// Nothing of it may go out: updates, sync, QUIC to its maker's hosts.
const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"];

let system: System;
let dir: string;
let site: Server;
let origin: string;
let browser: Browser;
let context: BrowserContext;

beforeAll(async () => {
  const executablePath = PLACES.find((place) => place !== "" && existsSync(place));
  if (executablePath === undefined) {
    throw new Error(
      "no Chromium: run node scripts/install-chromium.mjs, or set BIMIP_CHROMIUM to a Chromium or Chrome",
    );
  }
  dir = await mkdtemp(join(tmpdir(), "bimip-browser-"));
  await writeFile(join(dir, "signing-key"), SECRET);
  system = await startSystem({ env: { BIMIP_TOKEN_SIGNING_KEY_FILE: join(dir, "signing-key") } });
  site = await serve(await bundle());
  const address = site.address();
  origin = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  // Chromium's sandbox does not start as root.
  browser = await chromium.launch({ executablePath, args: QUIET, chromiumSandbox: process.getuid?.() !== 0 });
});
afterAll(async () => {
  await browser?.close();
  await new Promise((resolve) => (site === undefined ? resolve(undefined) : site.close(resolve)));
  await system?.stop();
  if (dir !== undefined) await rm(dir, { recursive: true });
});
beforeEach(async () => {
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
});

/** The SDK as one script for browsers, found by the package's `browser` conditions. */
async function bundle(): Promise<string> {
  const result = await build({
    stdin: {
      contents: 'import * as bimip from "@bimip/client"; Object.assign(globalThis, { bimip });',
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
  });
  return result.outputFiles[0]?.text ?? "";
}

async function serve(script: string): Promise<Server> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/sdk.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(
      isScript ? script : '<!doctype html><title>BIMIP</title><script type="module" src="/sdk.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

async function openPage(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(origin);
  await page.waitForFunction("globalThis.bimip !== undefined");
  return page;
}

/** Makes a client with an IndexedDB store in the page, not connected yet. */
async function makeClient(page: Page, eid: string): Promise<void> {
  const options = { url: system.urls[0] ?? "", token: await system.token(eid, "tab"), name: `bimip ${eid}` };
  await page.evaluate(({ url, token, name }) => {
    const globals = globalThis as unknown as PageGlobals;
    globals.texts = [];
    globals.states = [];
    globals.client = globals.bimip.createClient({ url, token, store: globals.bimip.indexedDbStore(name) });
    globals.client.on("message", ({ text = "" }) => globals.texts.push(text));
    globals.client.on("outgoing", ({ id, state }) => globals.states.push(`${id} ${state}`));
  }, options);
}

const connect = (page: Page) => page.evaluate(() => (globalThis as unknown as PageGlobals).client.connect());
const texts = (page: Page) => page.evaluate(() => (globalThis as unknown as PageGlobals).texts);
const states = (page: Page) => page.evaluate(() => (globalThis as unknown as PageGlobals).states);

const textsOf = (device: Device) => device.of("message").map(({ payload }) => payload?.data["text"]);

test("messages both ways, with receipts", async () => {
  const bob = await system.device("bob", "phone");
  const page = await openPage();
  await makeClient(page, "alice");
  await connect(page);
  const sent = await page.evaluate(() =>
    (globalThis as unknown as PageGlobals).client.send({ to: "bob", text: "from a browser 🌍", id: "m1" }),
  );
  expect(sent).toMatchObject({ id: "m1", to: "bob" });
  await eventually("bob's", () => textsOf(bob).includes("from a browser 🌍"));
  await bob.messageSent({ id: "m2", to: { eid: "alice" }, type: "text", payload: { data: { text: "to a browser" } } });
  await eventually("alice's", async () => (await texts(page)).includes("to a browser"));
  // DELIVERED of the page.
  await bob.until("signal", ({ id, status }) => id === "m2" && status === 4);
  expect(await states(page)).toEqual(["m1 queued", "m1 sent"]);
});

test("what was queued in IndexedDB is sent after a reload, once, and nothing is shown twice", async () => {
  const bob = await system.device("ben", "phone");
  const page = await openPage();
  await makeClient(page, "ann");
  await connect(page);
  await bob.messageSent({ id: "b1", to: { eid: "ann" }, type: "text", payload: { data: { text: "before" } } });
  await eventually("before", async () => (await texts(page)).includes("before"));
  // Offline, as the page sees it: the socket is closed, and none can be opened.
  await page.evaluate(() => (globalThis as unknown as PageGlobals).client.close());
  await page.reload();
  await page.waitForFunction("globalThis.bimip !== undefined");
  await makeClient(page, "ann");
  await page.evaluate(() => {
    const { client } = globalThis as unknown as PageGlobals;
    for (const id of ["q1", "q2", "q3"]) void client.send({ to: "ben", text: id, id }).catch(() => undefined);
  });
  await eventually("queued", async () => (await states(page)).includes("q3 queued"));
  expect(textsOf(bob)).toEqual([]);
  await page.reload();
  await page.waitForFunction("globalThis.bimip !== undefined");
  await makeClient(page, "ann");
  await connect(page);
  await bob.count("message", 3);
  expect(textsOf(bob)).toEqual(["q1", "q2", "q3"]);
  await eventually("sent", async () => (await states(page)).includes("q3 sent"));
  expect(await texts(page)).toEqual([]);
  await page.reload();
  await page.waitForFunction("globalThis.bimip !== undefined");
  await makeClient(page, "ann");
  await connect(page);
  await page.evaluate(() => (globalThis as unknown as PageGlobals).client.send({ to: "ben", text: "last" }));
  await bob.count("message", 4);
  expect(textsOf(bob)).toEqual(["q1", "q2", "q3", "last"]);
});

test("a second tab cannot use the same store", async () => {
  const first = await openPage();
  await makeClient(first, "cleo");
  await connect(first);
  const second = await openPage();
  await makeClient(second, "cleo");
  const refusal = await second.evaluate(() =>
    (globalThis as unknown as PageGlobals).client.connect().catch((error: Error) => error.message),
  );
  expect(refusal).toContain("another tab is using the database bimip cleo");
  await first.close();
  await connect(second);
});

test("a page stays connected over three lifetimes of its tokens", async () => {
  const lifetimeS = 3;
  const page = await openPage();
  await page.exposeFunction("freshToken", () =>
    issueToken({ secret: SECRET, eid: "dora", device: "tab", expiresInS: lifetimeS }),
  );
  await page.evaluate((url) => {
    const globals = globalThis as unknown as PageGlobals;
    globals.states = [];
    globals.client = globals.bimip.createClient({
      url,
      token: () => globals.freshToken(),
      eid: "dora",
      receive: false,
    });
    globals.client.on("state", (state) => globals.states.push(state));
    globals.client.on("error", ({ details }) => globals.states.push(details));
  }, system.urls[0] ?? "");
  await connect(page);
  const endMs = Date.now() + 3.3 * lifetimeS * 1_000;
  await eventually("three lifetimes", async () => {
    await page.evaluate(() => (globalThis as unknown as PageGlobals).client.send({ to: "dora", text: "still here" }));
    return Date.now() > endMs;
  });
  expect(await states(page)).toEqual(["connecting", "replaying", "online"]);
});

test("a page keeps its refresh token over a reload, and loses it by the logout", async () => {
  const page = await openPage();
  const make = async (token: string): Promise<void> => {
    const options = { url: system.urls[0] ?? "", token };
    await page.evaluate(({ url, token: first }) => {
      const globals = globalThis as unknown as PageGlobals;
      const { localStorage } = globals;
      const refreshToken: bimip.TokenStore = {
        load: () => JSON.parse(localStorage.getItem("tokens") ?? "null") ?? undefined,
        save: (tokens) =>
          tokens === undefined
            ? localStorage.removeItem("tokens")
            : localStorage.setItem("tokens", JSON.stringify(tokens)),
      };
      globals.client = globals.bimip.createClient({ url, token: first, refreshToken, receive: false });
    }, options);
  };
  const kept = () => page.evaluate(() => (globalThis as unknown as PageGlobals).localStorage.getItem("tokens"));
  await make(await system.token("eva", "tab", { scope: "refresh" }));
  await connect(page);
  await eventually("kept", kept);
  await page.reload();
  await page.waitForFunction("globalThis.bimip !== undefined");
  // Only the refresh token is left: REFRESH is the first frame.
  await page.evaluate(() => {
    const { localStorage } = globalThis as unknown as PageGlobals;
    const { refreshToken } = JSON.parse(localStorage.getItem("tokens") ?? "{}");
    localStorage.setItem("tokens", JSON.stringify({ refreshToken }));
  });
  await make("none");
  await connect(page);
  const check = await page.evaluate(() => (globalThis as unknown as PageGlobals).client.validate());
  expect(check).toMatchObject({ valid: true, eid: "eva", device: "tab" });
  await page.evaluate(() => (globalThis as unknown as PageGlobals).client.logout());
  expect(await kept()).toBeNull();
});

test("says clearly that there are no files in a browser", async () => {
  const page = await openPage();
  const said = await page.evaluate(() => {
    try {
      (globalThis as unknown as PageGlobals).bimip.fileStore("x");
      return "";
    } catch (error) {
      return String(error);
    }
  });
  expect(said).toContain("indexedDbStore");
});
