import type { ClientStore } from "@bimip/client";
import type { World } from "./world.js";

type StoredState = Awaited<ReturnType<ClientStore["load"]>>;
type StoredOutgoing = Parameters<ClientStore["put"]>[0];
type StoredProgress = Parameters<ClientStore["save"]>[0];

/** What a device has on its disk: outlives the process. */
export class Disk {
  readonly outgoing = new Map<string, StoredOutgoing>();
  /** Keys of all that was ever in it. */
  readonly kept = new Set<string>();
  progress: StoredProgress = { owner: "", index: 0, epoch: 0, seen: [] };
}

/** A store whose writes take time; what a killed process had not written yet is lost, the others are in order. */
export function storeOn(disk: Disk, world: World): ClientStore {
  let atMs = 0;
  const later = (work: () => void): Promise<void> =>
    new Promise((resolve) => {
      const owner = world.current;
      if (owner === undefined) throw new Error("no task runs");
      atMs = Math.max(atMs, world.nowMs + world.dice.between(0.05, 3));
      world.schedule(owner, atMs - world.nowMs, "disk", () => {
        work();
        resolve();
      });
    });
  return {
    load: async (): Promise<StoredState> => {
      await later(() => undefined);
      return { ...disk.progress, outgoing: [...disk.outgoing.values()] };
    },
    put: (entry) =>
      later(() => {
        disk.outgoing.set(entry.key, entry);
        disk.kept.add(entry.key);
      }),
    remove: (key) => later(() => disk.outgoing.delete(key)),
    save: (progress) =>
      later(() => {
        disk.progress = { ...progress, seen: [...disk.progress.seen, ...progress.seen].slice(-10_000) };
      }),
    close: () => later(() => undefined),
  };
}
