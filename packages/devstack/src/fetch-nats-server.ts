import { chmod, copyFile, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { waitForLock } from "./file-lock.js";
import { mkdirs } from "./files.js";
import type { NatsBinary } from "./nats-binary.js";
import { createAptSource } from "./sources/apt.js";
import { createGoSource } from "./sources/go.js";
import { createReleaseSource } from "./sources/release.js";
import type { NatsSource } from "./sources/source.js";
import { verifyNatsServer } from "./version.js";

const TEMP_PREFIX = "fetching-";

/** Which sources are asked, in which way. */
export interface FetchPlan {
  /** One after the other. */
  readonly first: readonly NatsSource[];
  /** Then all at once; the first that delivers ends the others. */
  readonly race: readonly NatsSource[];
}

interface FetchOptions {
  readonly cacheDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly plan?: FetchPlan;
  /** Ends what is being fetched. */
  readonly signal?: AbortSignal;
  /** What the places looked at before said. */
  readonly refusals: string[];
  readonly onProgress: (line: string) => void;
  /** Looks into the cache once more: another process may have fetched one meanwhile. */
  readonly inCache: () => Promise<NatsBinary | undefined>;
}

/**
 * Fetches a nats-server into the cache, as `nats-server-<version>`.
 *
 * @throws Error that lists what each place said and how to do without them.
 */
export async function fetchNatsServer(options: FetchOptions): Promise<NatsBinary> {
  const { cacheDir, onProgress, inCache, refusals } = options;
  const plan = options.plan ?? { first: [createReleaseSource()], race: [createAptSource(), createGoSource()] };
  await mkdirs(cacheDir);
  const lock = await waitForLock(join(cacheDir, "fetch.lock"), (pid) =>
    onProgress(`waiting for process ${pid}, which is fetching nats-server`),
  );
  try {
    const found = await inCache();
    if (found) return found;
    await removeTempFolders(cacheDir);
    for (const stage of [...plan.first.map((source) => [source]), plan.race]) {
      options.signal?.throwIfAborted();
      const fetched = await raceSources(stage, options);
      if (fetched) return fetched;
    }
    options.signal?.throwIfAborted();
  } finally {
    await lock.release();
  }
  throw new Error(
    [
      "no usable nats-server was found or fetched:",
      ...refusals.map((line) => `  ${line}`),
      "Download one from https://github.com/nats-io/nats-server/releases and set BIMIP_NATS_SERVER to its path.",
    ].join("\n"),
  );
}

/** Asks all of them at once. Undefined when each refused. */
async function raceSources(sources: readonly NatsSource[], options: FetchOptions): Promise<NatsBinary | undefined> {
  const won = new AbortController();
  const giveUp = () => won.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", giveUp, { once: true });
  const attempts = sources.map(async (source) => {
    try {
      return await obtainVerified(source, options, won.signal);
    } catch (error) {
      if (!won.signal.aborted) refuse(source, error, options);
      throw error;
    }
  });
  try {
    return await Promise.any(attempts);
  } catch {
    return undefined;
  } finally {
    options.signal?.removeEventListener("abort", giveUp);
    // The others remove what they began by themselves; nobody has to wait for that.
    won.abort(new Error("another source was faster"));
  }
}

function refuse(source: NatsSource, error: unknown, { refusals, onProgress }: FetchOptions): void {
  const lines = (error instanceof Error ? error.message : String(error)).split("\n").filter((line) => line.trim());
  // The first line names the failure, the last ones of a program's output its cause.
  const told = lines.length > 3 ? [lines[0], ...lines.slice(-2)] : lines;
  const line = `${source.name}: ${told.join(" | ")}`;
  refusals.push(line);
  onProgress(line);
}

async function obtainVerified(source: NatsSource, options: FetchOptions, signal: AbortSignal): Promise<NatsBinary> {
  const { cacheDir, env, onProgress } = options;
  const tempDir = await mkdtemp(join(cacheDir, `${TEMP_PREFIX}${source.name}-`));
  try {
    const obtained = await source.obtain({
      tempDir,
      env,
      signal,
      onProgress: (line) => signal.aborted || onProgress(`${source.name}: ${line}`),
    });
    const version = await verifyNatsServer(obtained);
    signal.throwIfAborted();
    const path = join(cacheDir, `nats-server-${version}${process.platform === "win32" ? ".exe" : ""}`);
    // Copied beside its place first: the rename that makes it visible is then atomic.
    const ready = join(tempDir, "verified");
    await copyFile(obtained, ready);
    await chmod(ready, 0o755);
    await rename(ready, path);
    return { path, version, source: source.name };
  } finally {
    await rm(tempDir, { recursive: true, force: true }).catch(() => {});
  }
}

/** Removes what starts that were killed left behind; only under the lock. */
async function removeTempFolders(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (name.startsWith(TEMP_PREFIX)) await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}
