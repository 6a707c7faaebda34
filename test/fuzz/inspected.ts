import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import WebSocket from "ws";
import { residentBytes } from "../bench/process-stats.js";

/** Memory of a process after what is garbage was collected; bytes. */
export interface Memory {
  readonly heap: number;
  /** Buffers outside of the heap. */
  readonly external: number;
  readonly resident: number;
}

/**
 * What a process that is to be looked at gets in its environment. glibc keeps what large frames once took and was freed; told
 * to give it back at once, what is resident is what is in use.
 */
export const INSPECTED = {
  NODE_OPTIONS: "--inspect=127.0.0.1:0",
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "65536",
} as const;

const COLLECTIONS = 3;
const BETWEEN_MS = 400;

/**
 * Looks into a service that runs with `INSPECTED`, by way of its log: lets it collect its garbage, so that what is left is what it
 * holds.
 *
 * @throws Error when the log names no inspector
 */
export async function memoryOf(process: { readonly pid: number; readonly logFile: string }): Promise<Memory> {
  const address = [...readFileSync(process.logFile, "utf8").matchAll(/Debugger listening on (ws:\S+)/g)].at(-1)?.[1];
  if (address === undefined) throw new Error(`${process.logFile} names no inspector`);
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  try {
    let id = 0;
    const ask = async (method: string, params: object = {}): Promise<{ result?: { value?: unknown } }> => {
      const own = ++id;
      socket.send(JSON.stringify({ id: own, method, params }));
      return new Promise((resolve) => {
        const onMessage = (data: Buffer): void => {
          const answer = JSON.parse(data.toString()) as { id?: number; result?: { result?: { value?: unknown } } };
          if (answer.id !== own) return;
          socket.off("message", onMessage);
          resolve(answer.result ?? {});
        };
        socket.on("message", onMessage);
      });
    };
    // Several times: what is freed in one may free more in the next, and memory goes back to the system behind it.
    for (let n = 0; n < COLLECTIONS; n++) {
      await ask("HeapProfiler.collectGarbage");
      await delay(BETWEEN_MS);
    }
    const expression = "JSON.stringify(process.memoryUsage())";
    const { result } = await ask("Runtime.evaluate", { expression, returnByValue: true });
    const used = JSON.parse(String(result?.value)) as { heapUsed: number; external: number };
    return { heap: used.heapUsed, external: used.external, resident: residentBytes(process.pid) };
  } finally {
    socket.close();
  }
}
