import type { StreamConfig } from "@nats-io/jetstream";
import { isDeepStrictEqual } from "node:util";
import type { StreamShape } from "./stream-shapes.js";

/** What somebody relies on in a stream, beside what nobody may change. */
export interface StreamPromise {
  readonly shape: StreamShape;
  /** More copies and a longer dedupe window than in `shape` are fine as well: whoever asks does not set them. */
  readonly orMore?: boolean;
}

/** The settings that decide over a field, for texts. */
const SETTINGS: Partial<Record<keyof StreamConfig, string>> = {
  num_replicas: "BIMIP_REPLICAS",
  duplicate_window: "BIMIP_DEDUPE_WINDOW_S",
  max_age: "BIMIP_LOG_MAX_AGE_S",
};

/** -1 for none. */
const LIMITS: readonly (keyof StreamConfig)[] = ["max_msgs", "max_bytes", "max_msgs_per_subject"];

const DURATIONS: readonly (keyof StreamConfig)[] = ["duplicate_window", "max_age"];

/**
 * How a stream differs from what is relied on, in words that begin with its name; empty: it does not.
 *
 * @param actual as nats-server has it
 */
export function streamProblems(actual: StreamConfig, { shape, orMore = false }: StreamPromise): string[] {
  const problems: string[] = [];
  const say = (field: keyof StreamConfig, wanted: unknown): void => {
    const setting = shape.name.startsWith("LOG_") || field === "num_replicas" ? SETTINGS[field] : undefined;
    const hint = setting === undefined ? "" : ` (${setting})`;
    problems.push(`${shape.name}: ${field} is ${show(field, actual[field])}, not ${show(field, wanted)}${hint}`);
  };
  for (const field of Object.keys(shape) as (keyof StreamConfig)[]) {
    const wanted = shape[field];
    if (isSame(actual[field], wanted)) continue;
    if (orMore && isEnough(field, actual, Number(wanted))) continue;
    say(field, wanted);
  }
  if (shape.max_age === undefined && !orMore && actual.max_age > 0) say("max_age", 0);
  if (actual.persist_mode === "async") say("persist_mode", "default");
  if (actual.sealed) say("sealed", false);
  // What is written would be stored under another subject, where nobody looks.
  if (actual.subject_transform !== undefined) say("subject_transform", "none");
  return problems;
}

/** nats-server leaves out what is false, 0 or empty, and adds what it takes for granted within an object. */
function isSame(actual: unknown, wanted: unknown): boolean {
  if (wanted === false || wanted === 0) return actual === undefined || actual === wanted;
  if (isPlain(wanted) && isPlain(actual))
    return Object.entries(wanted).every(([key, value]) => isSame(actual[key], value)) && sameKeys(actual, wanted);
  return isDeepStrictEqual(actual, wanted);
}

function sameKeys(actual: Record<string, unknown>, wanted: Record<string, unknown>): boolean {
  return Object.entries(actual).every(([key, value]) => key in wanted || value === false);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEnough(field: keyof StreamConfig, actual: StreamConfig, wanted: number): boolean {
  if (field === "num_replicas") return actual.num_replicas >= wanted;
  // A window cannot be longer than entries live.
  if (field === "duplicate_window")
    return actual.duplicate_window >= (actual.max_age > 0 ? Math.min(wanted, actual.max_age) : wanted);
  return false;
}

function show(field: keyof StreamConfig, value: unknown): string {
  if (value === undefined) return "not set";
  if (DURATIONS.includes(field) && typeof value === "number") return `${value / 1e9} s`;
  if (LIMITS.includes(field) && value === -1) return "unlimited";
  return typeof value === "string" ? value : JSON.stringify(value);
}
