import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findNatsServer } from "./find-nats-server.js";
import type { NatsSource } from "./sources/source.js";

let dir: string;
let cacheDir: string;
let binDir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-find-"));
  cacheDir = join(dir, "cache");
  binDir = join(dir, "bin");
  await mkdir(cacheDir);
  await mkdir(binDir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A program that says it is this nats-server, or whatever else. */
async function fakeServer(path: string, said: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\necho '${said}'\n`);
  await chmod(path, 0o755);
  return path;
}

const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ PATH: binDir, ...more });
const noPlan = { first: [], race: [] };

function delivering(name: NatsSource["name"], version: string, asked: string[] = []): NatsSource {
  return {
    name,
    async obtain({ tempDir }) {
      asked.push(name);
      return fakeServer(join(tempDir, "nats-server"), `nats-server: v${version}`);
    },
  };
}

function refusing(name: NatsSource["name"], message: string, asked: string[] = []): NatsSource {
  return {
    name,
    async obtain() {
      asked.push(name);
      throw new Error(message);
    },
  };
}

/** Delivers nothing until it is told that another one was faster. */
function hanging(name: NatsSource["name"]): NatsSource & { asked: Promise<void>; ended: Promise<void> } {
  let begin = () => {};
  const asked = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const obtain: NatsSource["obtain"] = ({ signal }) =>
    new Promise((_, reject) => {
      begin();
      signal.addEventListener("abort", () => {
        end();
        reject(new Error("aborted"));
      });
    });
  return { name, obtain, asked, ended };
}

test("BIMIP_NATS_SERVER wins over everything", async () => {
  await fakeServer(join(binDir, "nats-server"), "nats-server: v2.15.1");
  const path = await fakeServer(join(dir, "mine"), "nats-server: v2.14.3");
  expect(await findNatsServer({ env: env({ BIMIP_NATS_SERVER: path }), cacheDir, plan: noPlan })).toEqual({
    path,
    version: "2.14.3",
    source: "configured",
  });
});

test("a BIMIP_NATS_SERVER that cannot be used is an error, not a reason to look elsewhere", async () => {
  await fakeServer(join(binDir, "nats-server"), "nats-server: v2.15.1");
  const old = await fakeServer(join(dir, "old"), "nats-server: v2.9.10");
  const find = (path: string) => findNatsServer({ env: env({ BIMIP_NATS_SERVER: path }), cacheDir, plan: noPlan });
  await expect(find(old)).rejects.toThrow(/BIMIP_NATS_SERVER is not usable: .*old is 2\.9\.10, older than 2\.14\.0/);
  await expect(find(join(dir, "none"))).rejects.toThrow(/BIMIP_NATS_SERVER is not usable: .*none does not run/);
});

test("PATH comes before the cache, an old server on it is passed over", async () => {
  const cached = await fakeServer(join(cacheDir, "nats-server-2.15.0"), "nats-server: v2.15.0");
  const onPath = await fakeServer(join(binDir, "nats-server"), "nats-server: v2.14.0");
  expect(await findNatsServer({ env: env(), cacheDir, plan: noPlan })).toMatchObject({ path: onPath, source: "path" });
  await fakeServer(onPath, "nats-server: v2.9.10");
  expect(await findNatsServer({ env: env(), cacheDir, plan: noPlan })).toMatchObject({ path: cached, source: "cache" });
});

test("the newest of the cache that runs is taken", async () => {
  await fakeServer(join(cacheDir, "nats-server-2.9.10"), "nats-server: v2.9.10");
  await fakeServer(join(cacheDir, "nats-server-2.14.1"), "nats-server: v2.14.1");
  await writeFile(join(cacheDir, "nats-server-2.15.9"), "half a file");
  const found = await findNatsServer({ env: env({ XDG_CACHE_HOME: "/nowhere" }), cacheDir, plan: noPlan });
  expect(found).toMatchObject({ version: "2.14.1", source: "cache" });
});

test("the release is asked first, and alone; what it gives is in the cache afterwards", async () => {
  const asked: string[] = [];
  const plan = { first: [delivering("release", "2.15.1", asked)], race: [delivering("apt", "2.15.1", asked)] };
  expect(await findNatsServer({ env: env(), cacheDir, plan })).toEqual({
    path: join(cacheDir, "nats-server-2.15.1"),
    version: "2.15.1",
    source: "release",
  });
  expect(asked).toEqual(["release"]);
  expect(await readdir(cacheDir)).toEqual(["fetch.lock.1", "nats-server-2.15.1"]);
  expect(await findNatsServer({ env: env(), cacheDir, plan: noPlan })).toMatchObject({ source: "cache" });
});

test("of a race the first verified one is taken, and the others are ended", async () => {
  const go = hanging("go");
  const plan = { first: [refusing("release", "unreachable")], race: [go, delivering("apt", "2.15.1")] };
  expect(await findNatsServer({ env: env(), cacheDir, plan })).toMatchObject({ source: "apt", version: "2.15.1" });
  await go.ended;
});

test("a source that delivers something too old has not won", async () => {
  const plan = { first: [], race: [delivering("apt", "2.12.0"), delivering("go", "2.15.1")] };
  expect(await findNatsServer({ env: env(), cacheDir, plan })).toMatchObject({ source: "go", version: "2.15.1" });
});

test("when nothing works the error lists what each said, and the way out", async () => {
  await fakeServer(join(binDir, "nats-server"), "nats-server: v2.9.10");
  const plan = {
    first: [refusing("release", "no answer in 5 s")],
    race: [refusing("apt", "not a Debian"), refusing("go", "spawn go ENOENT")],
  };
  const error = await findNatsServer({ env: env(), cacheDir, plan }).catch((reason: unknown) => String(reason));
  expect(error).toMatch(/PATH: .* is 2\.9\.10, older than 2\.14\.0/);
  for (const part of ["release: no answer in 5 s", "apt: not a Debian", "go: spawn go ENOENT", "BIMIP_NATS_SERVER"]) {
    expect(error).toContain(part);
  }
  expect(await readdir(cacheDir)).toEqual(["fetch.lock.1"]);
});

test("two starts at once fetch once", async () => {
  const asked: string[] = [];
  const plan = { first: [delivering("release", "2.15.1", asked)], race: [] };
  const both = await Promise.all([
    findNatsServer({ env: env(), cacheDir, plan }),
    findNatsServer({ env: env(), cacheDir, plan }),
  ]);
  expect(both.map(({ path }) => path)).toEqual(Array(2).fill(join(cacheDir, "nats-server-2.15.1")));
  expect(asked).toEqual(["release"]);
});

test("fetching can be given up", async () => {
  const go = hanging("go");
  const giveUp = new AbortController();
  const find = findNatsServer({ env: env(), cacheDir, plan: { first: [go], race: [] }, signal: giveUp.signal });
  await go.asked;
  giveUp.abort(new Error("changed my mind"));
  await expect(find).rejects.toThrow("changed my mind");
  await go.ended;
});
