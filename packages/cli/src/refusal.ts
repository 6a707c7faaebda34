import { BimipError, BLOCK_REFUSALS, ErrorCode } from "@bimip/protocol";
import { CliError } from "./cli-error.js";
import { printable } from "./output.js";
import { shellWord } from "./welcome.js";

/** What somebody is told when what goes to an account is refused: in the person's words, where the server's are short. */
export function refusalOf(thrown: unknown, to: string): CliError {
  const text = thrown instanceof BimipError ? textOf(thrown, to) : undefined;
  if (text === undefined) return CliError.from(thrown);
  const { code } = thrown as BimipError;
  return new CliError(`${code} ${text}`, { cause: thrown, code });
}

function textOf({ code, details }: BimipError, to: string): string | undefined {
  const name = printable(to);
  const isAboutThem = code === ErrorCode.NOT_ALLOWED || code === ErrorCode.CONFLICT;
  if (isAboutThem && details.includes(BLOCK_REFUSALS.byYou)) {
    return `you have blocked ${name}; npx bimip contacts unblock ${shellWord(name)} ends that`;
  }
  if (code === ErrorCode.NOT_ALLOWED && details.includes(BLOCK_REFUSALS.byThem)) {
    return `${name} takes nothing from you: they have blocked you`;
  }
  if (code === ErrorCode.UNKNOWN && details.includes("no request that waits")) {
    return `${name} has asked nothing that waits for an answer`;
  }
  return undefined;
}
