import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NATS_VERSION } from "../version.js";
import { createReleaseSource } from "./release.js";

const ARCHIVE = `nats-server-v${NATS_VERSION}-linux-arm64.tar.gz`;
const content = Buffer.from("#!/bin/sh\necho nats-server\n".repeat(40));

let tempDir: string;
let server: Server;
let files: Record<string, Buffer | undefined>;

function tarEntry(name: string, body: Buffer, type = "0"): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(body.length.toString(8).padStart(11, "0"), 124);
  header.write(type, 156);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

beforeEach(async () => {
  tempDir = await mkdtemp(join(tmpdir(), "bimip-release-"));
  const folder = `nats-server-v${NATS_VERSION}-linux-arm64`;
  const archive = gzipSync(
    Buffer.concat([
      tarEntry(`${folder}/nats-server/`, Buffer.alloc(0), "5"),
      tarEntry(`${folder}/README.md`, Buffer.from("read me")),
      tarEntry(`${folder}/nats-server`, content),
      Buffer.alloc(1024),
    ]),
  );
  const sum = createHash("sha256").update(archive).digest("hex");
  files = { [ARCHIVE]: archive, SHA256SUMS: Buffer.from(`${"0".repeat(64)}  other.zip\n${sum}  ${ARCHIVE}\n`) };
  server = createServer((request, response) => {
    const name = request.url?.replace(`/v${NATS_VERSION}/`, "") ?? "";
    if (!(name in files)) response.writeHead(404).end();
    // A file without content stands for a server that accepts and never answers.
    if (files[name]) response.end(files[name]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(tempDir, { recursive: true, force: true });
});

function obtain(arch = "arm64"): Promise<string> {
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const baseUrl = `http://127.0.0.1:${port}`;
  const source = createReleaseSource({ baseUrl, platform: "linux", arch, answerDeadlineMs: 100 });
  return source.obtain({ tempDir, env: {}, signal: new AbortController().signal, onProgress: () => {} });
}

test("the binary is unpacked from the archive of this machine's kind", async () => {
  expect(await readFile(await obtain())).toEqual(content);
});

test("an archive that SHA256SUMS does not confirm is refused", async () => {
  files[ARCHIVE] = gzipSync(tarEntry("nats-server", Buffer.from("something else")));
  await expect(obtain()).rejects.toThrow(/has checksum [0-9a-f]{64}, SHA256SUMS says/);
});

test("a release without this archive, or without checksums, is refused", async () => {
  await expect(obtain("x64")).rejects.toThrow(/does not name nats-server-v.*-linux-amd64/);
  await expect(obtain("mips")).rejects.toThrow("there is no release for linux on mips");
  delete files["SHA256SUMS"];
  await expect(obtain()).rejects.toThrow(/SHA256SUMS answered 404/);
});

test("a server that does not answer is given up", async () => {
  files["SHA256SUMS"] = undefined;
  await expect(obtain()).rejects.toThrow(/no answer in 0\.1 s: http.*SHA256SUMS/);
});

test("a server that nobody reaches is named with the reason", async () => {
  const source = createReleaseSource({ baseUrl: "http://127.0.0.1:1", platform: "linux", arch: "x64" });
  const { signal } = new AbortController();
  await expect(source.obtain({ tempDir, env: {}, signal, onProgress: () => {} })).rejects.toThrow(/127\.0\.0\.1:1/);
});
