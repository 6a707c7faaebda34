import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { LockedError, takeLock } from "./file-lock.js";
import { mkdirs } from "./files.js";

/** The development profile's folder, locked for this process. */
export interface DataDir {
  /** Absolute path. */
  readonly path: string;
  /** File of the generated secret, mode 0600. */
  readonly secretFile: string;
  /** Where the process id of a service is written down. */
  pidFile(name: string): string;
  logFile(name: string): string;
  /** Lets another start use it. */
  release(): Promise<void>;
}

/**
 * Makes the data directory, readable by its owner only, and locks it.
 *
 * @throws Error that names the process when another start is using it.
 */
export async function openDataDir(dataDir: string): Promise<DataDir> {
  const path = resolve(dataDir);
  await mkdir(path, { recursive: true, mode: 0o700 });
  const [runDir, logsDir] = [join(path, "run"), join(path, "logs")];
  await mkdirs(runDir, logsDir);
  try {
    const lock = await takeLock(join(runDir, "lock"));
    return {
      path,
      secretFile: join(path, "jwt-secret"),
      pidFile: (name) => join(runDir, `${name}.pid`),
      logFile: (name) => join(logsDir, `${name}.log`),
      release: () => lock.release(),
    };
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    throw new Error(
      `${path} is in use by another start (process ${error.pid}): stop that one first, or set BIMIP_DATA_DIR to another folder`,
      { cause: error },
    );
  }
}
