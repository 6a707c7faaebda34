import { z } from "zod";

/** One row of the catalogue: how a variable's text becomes a value, and what is said about it. */
export interface Setting<T> {
  /** Turns the variable's text into its value, or says what is wrong. */
  readonly parse: z.ZodType<T, string>;
  /** What the table prints as the type, with range and unit. */
  readonly type: string;
  /**
   * The text used when the variable is unset or empty; a function where it depends on the machine. Without one the value
   * is `undefined` then.
   */
  readonly default: string | (() => string) | undefined;
  /** What the table prints as the default; needed where `default` is a function. */
  readonly defaultText: string;
  /** The value is never repeated in a problem's text. */
  readonly secret: boolean;
  /** One or two sentences for the operator. */
  readonly doc: string;
}

interface Common {
  readonly doc: string;
  readonly secret?: boolean;
}

/** A whole number from `min` to `max`, both included, written in decimal digits. */
export function whole(row: Common & { min: number; max: number; default: number; unit?: string }): Setting<number> {
  const range = `whole number from ${row.min} to ${row.max}`;
  const expected = `expected a ${range}`;
  return {
    // Digits are asked for first: z.coerce alone also takes "", "1e3" and "0x10".
    parse: z
      .string()
      .regex(/^\d{1,15}$/, expected)
      .pipe(z.coerce.number<string>().int(expected).min(row.min, expected).max(row.max, expected)),
    type: row.unit === undefined ? range : `${range}, ${row.unit}`,
    default: String(row.default),
    defaultText: `\`${row.default}\``,
    secret: false,
    doc: row.doc,
  };
}

/** One of a fixed set of words. */
export function choice<const T extends string>(row: Common & { of: readonly [T, ...T[]]; default: T }): Setting<T> {
  return {
    parse: z.string().pipe(z.enum(row.of, `expected one of ${row.of.join(", ")}`)),
    type: row.of.map((word) => `\`${word}\``).join(", "),
    default: row.default,
    defaultText: `\`${row.default}\``,
    secret: false,
    doc: row.doc,
  };
}

interface TextRow<T> extends Common {
  readonly parse: z.ZodType<T, string>;
  readonly type: string;
}

/** A value with a rule of its own. A default that is computed needs a text for the table. */
export function text<T>(
  row: TextRow<T> & ({ default: string } | { default: () => string; defaultText: string }),
): Setting<T> {
  const defaultText = "defaultText" in row ? row.defaultText : `\`${row.default}\``;
  return { ...row, defaultText, secret: row.secret ?? false };
}

/** A value that may be absent; it is then `undefined`. */
export function optionalText<T>(row: TextRow<T>): Setting<T | undefined> {
  return { ...row, default: undefined, defaultText: "none", secret: row.secret ?? false };
}

/** So many a second on average, so many at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** `<a second>/<burst>` for a token bucket, or `off`, which is undefined. */
export function rate(row: Common & { default: string; unit?: string }): Setting<Rate | undefined> {
  const expected = "expected <a second>/<burst> such as 50/200, or off";
  return {
    parse: z
      .string()
      .regex(/^(?:off|\d{1,9}(?:\.\d{1,3})?\/\d{1,9})$/, expected)
      .transform((value) => {
        if (value === "off") return undefined;
        const [perSecond, burst] = value.split("/").map(Number) as [number, number];
        return { perSecond, burst };
      })
      .refine((value) => value === undefined || (value.perSecond > 0 && value.burst >= 1), expected),
    type: `\`<a second>/<burst>\`${row.unit === undefined ? "" : `, ${row.unit},`} or \`off\``,
    default: row.default,
    defaultText: `\`${row.default}\``,
    secret: false,
    doc: row.doc,
  };
}

/** Values between commas; spaces around them do not count. None where the default is none, at least one otherwise. */
export function list(
  row: Common & { type: string; default: string; each?: { test(value: string): boolean }; expected?: string },
): Setting<readonly string[]> {
  const { each, expected = `expected ${row.type}` } = row;
  return {
    parse: z
      .string()
      .transform((value) =>
        value
          .split(",")
          .map((one) => one.trim())
          .filter((one) => one !== ""),
      )
      .refine((values) => values.length > 0 || row.default === "", expected)
      .refine((values) => each === undefined || values.every((one) => each.test(one)), expected),
    type: row.type,
    default: row.default,
    defaultText: row.default === "" ? "none" : `\`${row.default}\``,
    secret: false,
    doc: row.doc,
  };
}
