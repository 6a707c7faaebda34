import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { exists } from "./files.js";
import { fetchNatsServer, type FetchPlan } from "./fetch-nats-server.js";
import type { NatsBinary } from "./nats-binary.js";
import { compareVersions, MIN_NATS_VERSION, parseVersion, verifyNatsServer } from "./version.js";

/** Where to look. */
export interface FindOptions {
  readonly onProgress?: (line: string) => void;
  /** Default: this process's. Read: BIMIP_NATS_SERVER, PATH, XDG_CACHE_HOME; the sources get all of it. */
  readonly env?: NodeJS.ProcessEnv;
  /** Folder of fetched binaries. Default: `bimip` below XDG_CACHE_HOME or `~/.cache`. */
  readonly cacheDir?: string;
  /** Ends what is being fetched. */
  readonly signal?: AbortSignal;
  /** What to do when none is there. Default: the official release, else Debian's package and Go at once. */
  readonly plan?: FetchPlan;
}

const FILE_NAME = process.platform === "win32" ? "nats-server.exe" : "nats-server";

/**
 * Finds a nats-server that is new enough, in this order: `BIMIP_NATS_SERVER`; PATH; the cache; and else fetches one into
 * the cache, without installing anything. Several calls at once, in one process or many, fetch once.
 *
 * @throws Error when `BIMIP_NATS_SERVER` is not usable, or listing what each place said when there is none.
 */
export async function findNatsServer(options: FindOptions = {}): Promise<NatsBinary> {
  const { env = process.env, onProgress = () => {}, plan, signal } = options;
  const cacheDir = resolve(options.cacheDir ?? join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "bimip"));
  if (env["BIMIP_NATS_SERVER"]) return configured(resolve(env["BIMIP_NATS_SERVER"]));

  const refusals: string[] = [];
  const refuse = (place: string, error: unknown) => {
    refusals.push(`${place}: ${error instanceof Error ? error.message : String(error)}`);
  };
  const onPath = await firstUsable(pathCandidates(env), (error) => refuse("PATH", error));
  if (onPath) return { ...onPath, source: "path" };
  if (refusals.length === 0) refuse("PATH", "no nats-server");

  const inCache = async (): Promise<NatsBinary | undefined> => {
    const found = await firstUsable(await cacheCandidates(cacheDir), (error) => refuse("cache", error));
    return found && { ...found, source: "cache" };
  };
  return (
    (await inCache()) ??
    fetchNatsServer({ cacheDir, env, onProgress, inCache, refusals, ...(plan && { plan }), ...(signal && { signal }) })
  );
}

async function configured(path: string): Promise<NatsBinary> {
  try {
    return { path, version: await verifyNatsServer(path), source: "configured" };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`BIMIP_NATS_SERVER is not usable: ${reason}`, { cause: error });
  }
}

function pathCandidates(env: NodeJS.ProcessEnv): string[] {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => resolve(folder, FILE_NAME));
}

/** Binaries of the cache that are new enough by their name, newest first. */
async function cacheCandidates(cacheDir: string): Promise<string[]> {
  const names = await readdir(cacheDir).catch(() => []);
  return names
    .filter((name) => /^nats-server-\d+\.\d+\.\d+(-[\w.]+?)?(\.exe)?$/.test(name))
    .map((name) => ({ name, version: parseVersion(name.replace(/\.exe$/, "")) ?? "0.0.0" }))
    .filter(({ version }) => compareVersions(version, MIN_NATS_VERSION) >= 0)
    .sort((a, b) => compareVersions(b.version, a.version))
    .map(({ name }) => join(cacheDir, name));
}

/** The first of these files that is there and runs with a version that will do. */
async function firstUsable(
  paths: readonly string[],
  refuse: (error: unknown) => void,
): Promise<{ path: string; version: string } | undefined> {
  for (const path of paths) {
    if (!(await exists(path))) continue;
    try {
      return { path, version: await verifyNatsServer(path) };
    } catch (error) {
      refuse(error);
    }
  }
  return undefined;
}
