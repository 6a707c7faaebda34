import { access, mkdir, readFile } from "node:fs/promises";

/** Whether a file or folder can be seen at this path. */
export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Makes folders and those above them; existing ones are fine. */
export async function mkdirs(...paths: string[]): Promise<void> {
  for (const path of paths) await mkdir(path, { recursive: true });
}

/** Text of a file, undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Whether an error of the system carries this code, such as `EEXIST`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
