import { execFile } from "node:child_process";

/** Oldest nats-server that BIMIP runs on: per-message TTL, batched direct get, security fixes. */
export const MIN_NATS_VERSION = "2.14.0";

/** The nats-server that is fetched where none is found. */
export const NATS_VERSION = "2.15.1";

// A healthy binary answers in milliseconds; a first run may be scanned by the system before it starts.
const ANSWER_MS = 5_000;

/** `major.minor.patch[-pre-release]` found in a text such as `nats-server: v2.15.1`; undefined when there is none. */
export function parseVersion(text: string): string | undefined {
  return /(?<![\d.])(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)/.exec(text)?.[1];
}

/**
 * Order of two versions as `parseVersion` returns them: negative when `a` is older, 0 when they are the same. A
 * pre-release is older than its release.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left.numbers[i] ?? 0) - (right.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.preRelease === right.preRelease) return 0;
  if (left.preRelease === "") return 1;
  if (right.preRelease === "") return -1;
  return left.preRelease.localeCompare(right.preRelease, "en", { numeric: true });
}

function splitVersion(version: string): { numbers: number[]; preRelease: string } {
  const dash = version.indexOf("-");
  const core = dash < 0 ? version : version.slice(0, dash);
  return { numbers: core.split(".").map(Number), preRelease: dash < 0 ? "" : version.slice(dash + 1) };
}

/**
 * Runs `<path> --version` and returns the version it names.
 *
 * @throws Error when the file does not run, does not say that it is a nats-server, or is older than `MIN_NATS_VERSION`.
 */
export async function verifyNatsServer(path: string): Promise<string> {
  const said = await new Promise<string>((resolve, reject) => {
    execFile(path, ["--version"], { timeout: ANSWER_MS, windowsHide: true }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${path} does not run: ${stderr.trim() || error.message}`, { cause: error }));
      else resolve(stdout.trim());
    });
  });
  const version = said.includes("nats-server") ? parseVersion(said) : undefined;
  if (version === undefined)
    throw new Error(`${path} is not a nats-server: it says ${JSON.stringify(said.slice(0, 80))}`);
  if (compareVersions(version, MIN_NATS_VERSION) < 0) {
    throw new Error(`${path} is ${version}, older than ${MIN_NATS_VERSION}`);
  }
  return version;
}
