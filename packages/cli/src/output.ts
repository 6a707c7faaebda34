import { styleText } from "node:util";

/** The looks we use, so that they can be left out in one place. */
export type Style = "bold" | "dim" | "green" | "red" | "cyan" | "yellow";

/** The part of a stream that output needs. */
export interface Sink {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

export interface OutputOptions {
  /** One JSON object a line instead of text. */
  readonly json: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** NO_COLOR and TERM are looked at. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Where a command writes: text for people, or JSON lines for scripts. */
export interface Output {
  readonly json: boolean;
  /** The result: `text` for people, `value` as one line of JSON for scripts. */
  readonly result: (value: object, text: string) => void;
  /** What is only for people; nothing with --json. */
  readonly say: (text: string) => void;
  /** Beside the result, on stderr, for people. */
  readonly note: (text: string) => void;
  /** The one line of an error, on stderr. */
  readonly fail: (message: string, code?: number) => void;
  /** Text in a style, where stdout is a terminal that shows colours. */
  readonly paint: (style: Style, text: string) => string;
}

export function createOutput({ json, stdout, stderr, env }: OutputOptions): Output {
  const colours = (sink: Sink): boolean =>
    sink.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb" && !json;
  // styleText would judge by process.stdout; what counts is where we write.
  const paintOn = (sink: Sink, style: Style, text: string): string =>
    colours(sink) ? styleText(style, text, { validateStream: false }) : text;
  return {
    json,
    result: (value, text) => stdout.write(`${json ? JSON.stringify(value) : text}\n`),
    say: (text) => json || stdout.write(`${text}\n`),
    note: (text) => stderr.write(`${paintOn(stderr, "dim", text)}\n`),
    fail(message, code) {
      const error = { error: message, ...(code !== undefined && { code }) };
      stderr.write(json ? `${JSON.stringify(error)}\n` : `${paintOn(stderr, "red", "bimip:")} ${message}\n`);
    },
    paint: (style, text) => paintOn(stdout, style, text),
  };
}

/**
 * Text of others made safe for a terminal: control characters, which could move the cursor or worse, show as escapes.
 * Line breaks stay, indented.
 */
export function printable(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu, (char) =>
      char === "\t" ? " " : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    )
    .replaceAll("\n", "\n  ");
}
