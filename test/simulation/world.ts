import { Dice } from "./dice.js";
import { real } from "./platform.js";

/** What runs in a simulation: a gateway, a device, a service. It can be killed, and stopped for a while. */
export class Process {
  readonly name: string;
  alive = true;
  /** Stopped (SIGSTOP) until then, virtual milliseconds. */
  frozenUntilMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Never shortens what was said before: tasks that wait for its end would be overtaken. */
  freeze(untilMs: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, untilMs);
  }
}

/** Something that will run at a virtual moment. */
export interface Task {
  atMs: number;
  order: number;
  readonly owner: Process;
  readonly run: () => void;
  /** For reports of what is left over. */
  readonly kind: string;
  cancelled: boolean;
}

/** More tasks than any sound run needs: something turns in circles. */
const MAX_TASKS = 400_000;
const BATCH = 64;
const EPOCH_MS = 1_700_000_000_000;

/**
 * Virtual time and everything that waits for it. One task runs at a time, with all microtasks that follow from it,
 * before the next one; so one seed has one history.
 */
export class World {
  readonly dice: Dice;
  nowMs = 0;
  /** Who runs now; undefined outside of a task. */
  current: Process | undefined;
  /** Sum over everything that ran: two runs of a seed must have the same. */
  fingerprint = 0;
  tasks = 0;
  /** How often what happened: shows that a run was not idle. */
  readonly counts = new Map<string, number>();
  readonly errors: unknown[] = [];
  /** Set: every line is kept. */
  log: string[] | undefined;
  readonly #heap: Task[] = [];
  #order = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  /** What Date.now() says. */
  get epochMs(): number {
    return this.epochAt(this.nowMs);
  }

  /** Epoch milliseconds of a virtual moment. */
  epochAt(ms: number): number {
    return EPOCH_MS + Math.floor(ms);
  }

  count(what: string): undefined {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  note(line: () => string): void {
    this.log?.push(`${this.nowMs.toFixed(3).padStart(11)} ${line()}`);
  }

  schedule(owner: Process, delayMs: number, kind: string, run: () => void): Task {
    const task: Task = { atMs: this.nowMs + delayMs, order: this.#order++, owner, run, kind, cancelled: false };
    this.#push(task);
    return task;
  }

  /** What waits, of whom. */
  waiting(): string[] {
    return this.#heap
      .filter(({ cancelled, owner }) => !cancelled && owner.alive)
      .map((t) => `${t.owner.name}: ${t.kind}`);
  }

  /** Runs tasks until `done` or nothing is left. Rejects with the first error that a task threw. */
  async run(done: () => boolean): Promise<void> {
    let finished = false;
    while (!finished) {
      await new Promise<void>((resolve) => {
        const one = (): void => {
          if (!finished) finished = done() || this.errors.length > 0 || !this.#step();
        };
        // Between two immediates all microtasks run; several in one turn save the turn's cost.
        for (let at = 0; at < BATCH; at++) real.setImmediate(one);
        real.setImmediate(() => {
          this.current = undefined;
          resolve();
        });
      });
    }
    if (this.errors.length > 0) throw this.errors[0];
  }

  #step(): boolean {
    for (;;) {
      const task = this.#pop();
      if (task === undefined) return false;
      if (task.cancelled || !task.owner.alive) continue;
      this.nowMs = Math.max(this.nowMs, task.atMs);
      const { frozenUntilMs } = task.owner;
      if (frozenUntilMs > this.nowMs) {
        task.atMs = frozenUntilMs; // its order is kept: what waited runs as it came
        this.#push(task);
        continue;
      }
      if (++this.tasks > MAX_TASKS) {
        this.errors.push(new Error(`more than ${MAX_TASKS} tasks: something turns in circles`));
        return false;
      }
      this.current = task.owner;
      this.fingerprint = (Math.imul(this.fingerprint, 31) + Math.floor(task.atMs * 1_000) + task.order) | 0;
      try {
        task.run();
      } catch (error) {
        this.errors.push(error);
      }
      return true;
    }
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let at = heap.push(task) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Task;
      if (!before(task, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = task;
  }

  #pop(): Task | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Task, heap[child] as Task)) child++;
      if (!before(heap[child] as Task, last)) break;
      heap[at] = heap[child] as Task;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: Task, b: Task): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
