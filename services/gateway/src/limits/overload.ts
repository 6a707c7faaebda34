import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";

/** lag: the event loop is behind; memory: the process takes too much. */
export type OverloadReason = "lag" | "memory";

/** What is not done meanwhile; a label of the metric. */
export type Shed = "connections" | "messages" | "awareness" | "location" | "typing";

export interface OverloadOptions {
  /** Milliseconds that the event loop may be behind; 0 = no matter how long. */
  readonly lagMs: number;
  /** Of the process; 0 = four fifths of what there is. */
  readonly memoryBytes: number;
  /** It began, or is over. */
  readonly onChange: (reason: OverloadReason, sheds: boolean) => void;
  readonly onShed: (what: Shed) => void;
  /** How much memory is in use now; for tests. */
  readonly memory?: () => Memory;
}

interface Memory {
  readonly processBytes: number;
  readonly heapBytes: number;
  readonly heapLimitBytes: number;
}

const LOOK_MS = 100;
/** A collection of garbage, or a machine that stood still, is one late look; overload is the next one as well. */
const LOOKS_BEHIND = 2;
/** It is over when so many looks in a row find half of the lag at most. */
const LOOKS_WELL = 10;
/** Of memory: what sheds, and below what it is over. */
const FULL_SHARE = 0.8;
const OVER_SHARE = 0.95;

/**
 * Whether the gateway takes on too much: it is then better to say so at once than to answer nobody in time. Looks at how late
 * its own timer rings, and at its memory.
 */
export class Overload {
  readonly #o: OverloadOptions;
  readonly #memoryBytes: number;
  readonly #reasons = new Set<OverloadReason>();
  #timer: NodeJS.Timeout | undefined;
  #lookedMs = 0;
  #behind = 0;
  #well = 0;

  constructor(options: OverloadOptions) {
    this.#o = options;
    this.#memoryBytes = options.memoryBytes || FULL_SHARE * availableBytes();
  }

  /** New connections and messages are refused, and what is of the moment is dropped. */
  get sheds(): boolean {
    return this.#reasons.size > 0;
  }

  /** Counts what was not done. */
  shed(what: Shed): void {
    this.#o.onShed(what);
  }

  start(): void {
    this.#lookedMs = performance.now();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = performance.now();
    this.#onLag(nowMs - this.#lookedMs - LOOK_MS);
    this.#lookedMs = nowMs;
    this.#onMemory((this.#o.memory ?? memoryInUse)());
  }

  #onLag(lagMs: number): void {
    const { lagMs: limitMs } = this.#o;
    if (limitMs === 0) return;
    this.#behind = lagMs >= limitMs ? this.#behind + 1 : 0;
    this.#well = lagMs <= limitMs / 2 ? this.#well + 1 : 0;
    if (this.#behind >= LOOKS_BEHIND) this.#set("lag", true);
    else if (this.#well >= LOOKS_WELL) this.#set("lag", false);
  }

  #onMemory({ processBytes, heapBytes, heapLimitBytes }: Memory): void {
    const share = Math.max(processBytes / this.#memoryBytes, heapBytes / (FULL_SHARE * heapLimitBytes));
    if (share >= 1) this.#set("memory", true);
    else if (share < OVER_SHARE) this.#set("memory", false);
  }

  #set(reason: OverloadReason, sheds: boolean): void {
    if (this.#reasons.has(reason) === sheds) return;
    if (sheds) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    this.#o.onChange(reason, sheds);
  }
}

function memoryInUse(): Memory {
  const { used_heap_size: heapBytes, heap_size_limit: heapLimitBytes } = getHeapStatistics();
  return { processBytes: process.memoryUsage.rss(), heapBytes, heapLimitBytes };
}

/** What the container or, without one, the machine has. */
function availableBytes(): number {
  // 0, or more than there is, where no limit is set.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
