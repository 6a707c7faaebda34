import { InvalidArgumentError } from "commander";

/** Parses an option that is a whole number from 1 on. */
export function countOption(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("Use a number from 1 on.");
  return number;
}
