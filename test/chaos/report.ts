import { countViolations, VIOLATIONS } from "./checker.js";
import type { SeedResult } from "./run-seed.js";

const SHOWN = 20;

/** One row per seed and one of totals, in columns. */
export function table(results: readonly SeedResult[]): string {
  const columns = [
    "seed",
    "faults",
    "attempted",
    "acknowledged",
    "received",
    ...VIOLATIONS,
    "failed publishes",
    "leader changes",
    "msg/s",
    "load s",
    "all s",
  ];
  const rows = results.map((result) => {
    const counts = countViolations(result.violations);
    return [
      result.seed,
      result.faults,
      result.attempted,
      result.acknowledged,
      result.received,
      ...VIOLATIONS.map((kind) => counts[kind]),
      result.failedPublishes,
      result.leaderChanges,
      result.acknowledged / result.loadS,
      result.loadS,
      result.tookS,
    ].map((value) => value.toFixed(0));
  });
  const sums = columns.map((name, at) => {
    if (name === "seed") return "all";
    if (name === "msg/s") return "";
    return String(rows.reduce((sum, row) => sum + Number(row[at]), 0));
  });
  const lines = [columns, ...rows, sums];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines.map((line) => line.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  ")).join("\n");
}

/** The first violations of a run, a line each, and where everything about it lies; empty when there are none. */
export function violationLines({ seed, violations, folder }: SeedResult): string[] {
  if (violations.length === 0) return [];
  const shown = violations
    .slice(0, SHOWN)
    .map(
      ({ kind, id, device, details }) => `  ${kind}: ${id}${device === undefined ? "" : ` on ${device}`}: ${details}`,
    );
  return [`seed ${seed}: ${violations.length} violations, everything about them in ${folder}`, ...shown];
}

/** Why this run proves less than it should; undefined when it does not. */
export function weakness({ leaderChanges, failedPublishes }: SeedResult): string | undefined {
  if (leaderChanges === 0) return "no leader changed";
  return failedPublishes === 0 ? "no publish failed" : undefined;
}
