import { z } from "zod";

/** One row of the catalogue: how a variable's text becomes a value, and what is said about it. */
export interface Setting<T> {
  /** Turns the variable's text into its value, or says what is wrong. */
  readonly parse: z.ZodType<T, string>;
  /** What the table prints as the type, with range and unit. */
  readonly type: string;
  /** The text used when the variable is unset or empty; a function where it depends on the machine. */
  readonly default: string | (() => string) | undefined;
  /** What the table prints as the default; needed where `default` is a function. */
  readonly defaultText: string;
  /** Unset is a problem. Without it an unset variable that has no default is `undefined`. */
  readonly required: boolean;
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
    required: false,
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
    required: false,
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
  return { ...row, defaultText, required: false, secret: row.secret ?? false };
}

/** A value that the operator has to give. */
export function requiredText<T>(row: TextRow<T>): Setting<T> {
  return { ...row, default: undefined, defaultText: "none, required", required: true, secret: row.secret ?? false };
}

/** A value that may be absent; it is then `undefined`. */
export function optionalText<T>(row: TextRow<T>): Setting<T | undefined> {
  return { ...row, default: undefined, defaultText: "none", required: false, secret: row.secret ?? false };
}
