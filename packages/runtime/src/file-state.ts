import { stat } from "node:fs/promises";

/** Changes whenever the file does, or another one takes its place; a file that is not there has a state, too. */
export async function fileState(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(",");
  } catch (error) {
    return codeOf(error);
  }
}

/** Such as ENOENT: says what went wrong without repeating what the file holds. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
