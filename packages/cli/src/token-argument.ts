import { text as readText } from "node:stream/consumers";
import { UsageError } from "./cli-error.js";
import type { ProgramContext } from "./program-context.js";

/**
 * A token given as an argument, or on standard input where it is missing or `-`: there other users of the machine do not see it.
 *
 * @throws UsageError where there is none
 */
export async function tokenArgument(given: string | undefined, { stdin }: ProgramContext): Promise<string> {
  if (given !== undefined && given !== "-") return given;
  const isAsked = given === "-" || stdin.isTTY !== true;
  const token = isAsked ? (await readText(stdin)).trim() : "";
  if (token === "") throw new UsageError("no token: give it as an argument or on standard input");
  return token;
}
