import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../../../test/kit/eventually.js";
import { makeKey } from "../../../test/kit/token-keys.js";
import { KeyFiles } from "./index.js";

const one = makeKey("ES256", "one");
const two = makeKey("EdDSA", "two");

let folder: string;
let errors: string[];
let reads: string[];
const opened: KeyFiles[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-keys-"));
  errors = [];
  reads = [];
});
afterEach(async () => {
  for (const files of opened.splice(0)) files.close();
  await rm(folder, { recursive: true });
});

async function open(...paths: string[]): Promise<KeyFiles> {
  const files = await KeyFiles.open(paths, {
    pollMs: 5,
    onRead: (path) => reads.push(path),
    onError: (error) => errors.push(error.message),
  });
  opened.push(files);
  return files;
}

async function write(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  // In one step, so that nobody sees half of it.
  await writeFile(`${path}.new`, typeof content === "string" ? content : JSON.stringify(content));
  await rename(`${path}.new`, path);
  return path;
}

const kids = (files: KeyFiles) => files.keys.map(({ kid }) => kid);

test("holds the keys of all files, in order", async () => {
  const files = await open(await write("a", one.jwk), await write("b", two.jwk));
  expect(kids(files)).toEqual(["one", "two"]);
  expect(reads).toHaveLength(2);
});

test("none", async () => {
  expect((await open()).keys).toEqual([]);
});

test.each<[string, (path: string) => Promise<unknown>, string]>([
  ["is missing", async () => undefined, "ENOENT"],
  ["is no key", (path) => writeFile(path, "hunter2"), "holds neither a PEM nor a JWK nor a JWKS"],
  ["is too large", (path) => writeFile(path, Buffer.alloc(1_048_577, "x")), "has more than 1048576 bytes"],
])("a file that %s at the start is named", async (_, prepare, why) => {
  const path = join(folder, "keys.json");
  await prepare(path);
  const opening = open(await write("good", one.jwk), path);
  await expect(opening).rejects.toThrow(`${path}: `);
  await expect(opening).rejects.toThrow(why);
  await expect(opening).rejects.not.toThrow("hunter2");
});

test("a file that changes is read again; nothing else is", async () => {
  const path = await write("a", { keys: [one.jwk] });
  const files = await open(path, await write("b", two.pem));
  await write("a", { keys: [one.jwk, makeKey("RS256", "new").jwk] });
  await eventually("the new key", () => kids(files).includes("new"));
  expect(kids(files)).toEqual(["one", "new", undefined]);
  expect(reads).toHaveLength(3);
});

test("a broken file keeps the keys from before, and is complained of once", async () => {
  const path = await write("a", one.jwk);
  const files = await open(path, await write("b", two.jwk));
  await write("a", '{"keys":[');
  await eventually("a complaint", () => errors.length > 0);
  // Two rounds more.
  for (const kid of ["three", "four"]) {
    await write("b", makeKey("ES256", kid).jwk);
    await eventually(kid, () => kids(files).includes(kid));
  }
  expect(errors).toEqual([`${path}: is not JSON`]);
  expect(kids(files)).toEqual(["one", "four"]);
  await write("a", two.jwk);
  await eventually("the next key", () => kids(files)[0] === "two");
  expect(errors).toHaveLength(1);
});

test("a file that is gone keeps its keys; when it comes back it is read, though it be the same", async () => {
  const path = await write("a", one.jwk);
  const files = await open(path);
  await rename(path, `${path}.away`);
  await eventually("a complaint", () => errors.length > 0);
  expect(kids(files)).toEqual(["one"]);
  await rename(`${path}.away`, path);
  await eventually("a second reading", () => reads.length === 2);
  expect(errors).toHaveLength(1);
});

test("a link that is swapped, as Kubernetes does with secrets", async () => {
  await write("v1", one.jwk);
  await write("v2", two.jwk);
  const path = join(folder, "current");
  await symlink("v1", path);
  const files = await open(path);
  await symlink("v2", join(folder, "next"));
  await rename(join(folder, "next"), path);
  await eventually("the other file's key", () => kids(files)[0] === "two");
  expect(errors).toEqual([]);
});

test("closed, it reads no more", async () => {
  const path = await write("a", one.jwk);
  const closed = await open(path);
  closed.close();
  const open2 = await open(path);
  await write("a", two.jwk);
  await eventually("the other one reads", () => kids(open2)[0] === "two");
  expect(kids(closed)).toEqual(["one"]);
});
