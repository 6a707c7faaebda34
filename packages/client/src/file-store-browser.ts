import type { ClientStore } from "./client-store.js";

/** Stands in for the file store where there are no files. */
export function fileStore(_path: string): ClientStore {
  throw new Error("fileStore needs Node; in a browser use indexedDbStore(name)");
}
