// Which pages may connect: what browsers say in `Origin`, compared byte by byte.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DoorSystem, startDoor } from "../kit/door.js";
import type { Headers } from "../kit/raw-http.js";

const ALLOWED = [
  "https://chat.example.com",
  "http://localhost:3000",
  "https://xn--bcher-kva.example",
  "http://[::1]:8080",
  "capacitor://localhost",
];

let door: DoorSystem;
let open: DoorSystem;
beforeAll(async () => {
  door = await startDoor({ BIMIP_ALLOWED_ORIGINS: ALLOWED.join(", ") });
  open = await startDoor({});
});
afterAll(async () => {
  await door.system.stop();
  await open.system.stop();
});

const origins = (...values: string[]): Headers => values.map((value) => ["Origin", value] as const);

async function statusOf(at: DoorSystem, headers: Headers): Promise<number> {
  const { status, socket } = await at.knock({ headers });
  socket.destroy();
  return status;
}

test.each(ALLOWED)("%s may", async (origin) => {
  expect(await statusOf(door, origins(origin))).toBe(101);
});

test("a client that sends none is no browser, and may", async () => {
  expect(await statusOf(door, [])).toBe(101);
});

test("the header's name is read in any case, as HTTP has it", async () => {
  expect(await statusOf(door, [["oRIGIN", "https://evil.example"]])).toBe(403);
  expect(await statusOf(door, [["oRIGIN", "https://chat.example.com"]])).toBe(101);
});

describe("refused", () => {
  test.each<[what: string, values: string[]]>([
    ["another", ["https://evil.example"]],
    ["another scheme", ["http://chat.example.com"]],
    ["another port", ["https://chat.example.com:8443"]],
    ["the default port, which no browser writes", ["https://chat.example.com:443"]],
    ["without its port", ["http://localhost"]],
    ["a name below", ["https://a.chat.example.com"]],
    ["a name above", ["https://example.com"]],
    ["a longer name that begins like it", ["https://chat.example.com.evil.example"]],
    ["a longer name that ends like it", ["https://evilchat.example.com"]],
    ["a name that ends like it behind a hyphen", ["https://evil-chat.example.com"]],
    ["capital letters", ["https://CHAT.example.com"]],
    ["a scheme in capital letters", ["HTTPS://chat.example.com"]],
    ["a dot behind", ["https://chat.example.com."]],
    ["a slash behind", ["https://chat.example.com/"]],
    ["a path", ["https://chat.example.com/evil"]],
    ["a user in front", ["https://chat.example.com@evil.example"]],
    ["a user and the right host", ["https://evil@chat.example.com"]],
    ["null, as of sandboxed pages and files", ["null"]],
    ["nothing", [""]],
    ["the name alone", ["chat.example.com"]],
    ["without scheme", ["//chat.example.com"]],
    ["the same in other letters", ["https://bücher.example"]],
    ["a letter that looks like another", ["https://сhat.example.com"]],
    ["percent encoding", ["https://chat%2eexample.com"]],
    ["a zone of IPv6", ["http://[::1%25lo]:8080"]],
    ["IPv6 written out", ["http://[0:0:0:0:0:0:0:1]:8080"]],
    ["the star", ["*"]],
    ["two in one", ["https://chat.example.com https://evil.example"]],
    ["a list", ["https://chat.example.com, https://evil.example"]],
    ["a tab behind it and more", ["https://chat.example.com\thttps://evil.example"]],
    ["two headers, the right one first", ["https://chat.example.com", "https://evil.example"]],
    ["two headers, the right one last", ["https://evil.example", "https://chat.example.com"]],
    ["the right one twice", ["https://chat.example.com", "https://chat.example.com"]],
  ])("%s: %j", async (_, values) => {
    expect(await statusOf(door, origins(...values))).toBe(403);
  });

  test("before the upgrade, in words, with an event and a count; a good token does not help", async () => {
    const before = await door.metric("bimip_gateway_connections_refused_total", 'limit="origin"');
    const token = await door.system.token("alice", "web");
    const { status, body, headers, socket } = await door.knock({ headers: origins("https://evil.example"), token });
    expect([status, body]).toEqual([403, "origin: pages of this origin may not connect (BIMIP_ALLOWED_ORIGINS)"]);
    expect(headers.get("connection")).toBe("close");
    socket.destroy();
    const origin = door.audited.find(({ reason }) => reason === "origin");
    expect(origin).toMatchObject({ code: 403, eid: "", address: "127.0.0.1" });
    expect(await door.metric("bimip_gateway_connections_refused_total", 'limit="origin"')).toBe(before + 1);
  });
});

test("without a setting any page may", async () => {
  for (const origin of ["https://evil.example", "null", ""]) expect(await statusOf(open, origins(origin))).toBe(101);
});
