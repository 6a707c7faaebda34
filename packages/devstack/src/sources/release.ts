import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createAnswerWatch } from "../answer-watch.js";
import { NATS_VERSION } from "../version.js";
import type { NatsSource } from "./source.js";
import { fileInTar } from "./tar.js";

const RELEASES = "https://github.com/nats-io/nats-server/releases/download";

// The release's words for what Node calls process.platform and process.arch.
const SYSTEMS: Readonly<Record<string, string>> = { linux: "linux", darwin: "darwin", win32: "windows" };
const MACHINES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Where to fetch from; the defaults are the official release for this machine. */
export interface ReleaseOptions {
  /** Folder URL without a final slash; the files are in `<baseUrl>/v<version>/`. */
  readonly baseUrl?: string;
  /** `process.platform` of the machine that is to run it. */
  readonly platform?: string;
  /** `process.arch` of the machine that is to run it. */
  readonly arch?: string;
  /** Longest silence, milliseconds. Default 5,000. */
  readonly answerDeadlineMs?: number;
}

/** The official release, checked against the SHA256SUMS file published with it. */
export function createReleaseSource(options: ReleaseOptions = {}): NatsSource {
  const { baseUrl = RELEASES, platform = process.platform, arch = process.arch, answerDeadlineMs } = options;
  return {
    name: "release",
    async obtain({ tempDir, signal, onProgress }) {
      const [system, machine] = [SYSTEMS[platform], MACHINES[arch]];
      if (!system || !machine) throw new Error(`there is no release for ${platform} on ${arch}`);
      const archiveName = `nats-server-v${NATS_VERSION}-${system}-${machine}.tar.gz`;
      const folder = `${baseUrl}/v${NATS_VERSION}`;
      const sums = (await download(`${folder}/SHA256SUMS`, signal, answerDeadlineMs)).toString("utf8");
      const expected = checksumOf(sums, archiveName);
      if (!expected) throw new Error(`SHA256SUMS of the release does not name ${archiveName}`);
      onProgress(`downloading ${archiveName}`);
      const archive = await download(`${folder}/${archiveName}`, signal, answerDeadlineMs);
      const actual = createHash("sha256").update(archive).digest("hex");
      if (actual !== expected) throw new Error(`${archiveName} has checksum ${actual}, SHA256SUMS says ${expected}`);
      const fileName = platform === "win32" ? "nats-server.exe" : "nats-server";
      const binary = fileInTar(gunzipSync(archive), fileName);
      if (!binary) throw new Error(`${archiveName} holds no ${fileName}`);
      const path = join(tempDir, fileName);
      await writeFile(path, binary, { mode: 0o755 });
      return path;
    },
  };
}

function checksumOf(sums: string, fileName: string): string | undefined {
  for (const line of sums.split("\n")) {
    const [sum, name] = line.trim().split(/\s+\*?/);
    if (name === fileName && sum && /^[0-9a-f]{64}$/i.test(sum)) return sum.toLowerCase();
  }
  return undefined;
}

/** The whole body of a URL; given up when nothing arrives for the deadline. */
async function download(url: string, signal: AbortSignal, answerDeadlineMs: number | undefined): Promise<Buffer> {
  const watch = createAnswerWatch(signal, answerDeadlineMs);
  watch.asked(url);
  try {
    const response = await fetch(url, { signal: watch.signal });
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status} ${response.statusText}`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) {
      watch.asked(url);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    watch.signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
    throw cause ? new Error(`${url}: ${cause}`, { cause: error }) : error;
  } finally {
    watch.close();
  }
}
