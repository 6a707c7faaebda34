/**
 * Loads uWebSockets.js, a native module: where its binary does not fit the system, it says so in words.
 *
 * @throws Error that names what the system lacks
 */
export async function loadUws(): Promise<typeof import("uWebSockets.js")> {
  try {
    const loaded = await import("uWebSockets.js");
    return loaded.default;
  } catch (cause) {
    throw new Error(
      `uWebSockets.js does not load on Node ${process.versions.node}, ${process.platform} ${process.arch}: its binaries for Node 20 ` +
        "need glibc 2.36 (Debian 12), those for Node 22 and 24 glibc 2.38 (Debian 13, Ubuntu 24.04); musl (Alpine) is not " +
        "supported. docs/5-setup.md says how to use the official package.",
      { cause },
    );
  }
}
