const MAX_PROBLEMS = 20;

/** What happened in a run, as numbers; can be sent between processes. */
export interface TallyData {
  readonly frames: number;
  readonly connects: number;
  readonly received: number;
  /** ErrorMessages by code. */
  readonly errors: Record<string, number>;
  /** How connections ended. */
  readonly ends: Record<string, number>;
  /** What was done to WebSocket itself, by name. */
  readonly oddities: Record<string, number>;
  /** Connections cut, by phase. */
  readonly cuts: Record<string, number>;
  /** What should not be; the first ones. */
  readonly problems: readonly string[];
}

/** Counts for the report. */
export class Tally implements TallyData {
  frames = 0;
  connects = 0;
  received = 0;
  readonly errors: Record<string, number> = {};
  readonly ends: Record<string, number> = {};
  readonly oddities: Record<string, number> = {};
  readonly cuts: Record<string, number> = {};
  readonly problems: string[] = [];

  count(where: Record<string, number>, name: string): void {
    where[name] = (where[name] ?? 0) + 1;
  }

  problem(text: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text);
  }

  get data(): TallyData {
    const { frames, connects, received, errors, ends, oddities, cuts, problems } = this;
    return { frames, connects, received, errors, ends, oddities, cuts, problems };
  }
}
