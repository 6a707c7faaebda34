const BLOCK_BYTES = 512;

function textAt(archive: Buffer, start: number, length: number): string {
  const field = archive.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

/**
 * Content of the first regular file of that name, in whatever folder, of an unpacked tar archive (POSIX ustar); undefined
 * when it holds none. The result is a view of the archive.
 */
export function fileInTar(archive: Buffer, fileName: string): Buffer | undefined {
  let at = 0;
  while (at + BLOCK_BYTES <= archive.length && archive[at] !== 0) {
    const name = textAt(archive, at, 100);
    const size = Number.parseInt(textAt(archive, at + 124, 12).trim(), 8);
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    const type = archive[at + 156];
    const isFile = type === 0 || type === 0x30; // NUL in old archives, "0" in ustar
    const start = at + BLOCK_BYTES;
    if (isFile && name.split("/").at(-1) === fileName && start + size <= archive.length) {
      return archive.subarray(start, start + size);
    }
    at = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return undefined;
}
