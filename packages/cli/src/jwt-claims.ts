import { CliError } from "./cli-error.js";

/** What a token says of itself; nothing is verified. @throws CliError for what is no JWT, naming where it came from */
export function claimsIn(what: string, token: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    if (typeof claims === "object" && claims !== null) return claims as Record<string, unknown>;
  } catch {
    // What JSON.parse says repeats some of the token.
  }
  throw new CliError(`${what} is not a JWT`);
}

/** false: it is a JWT that is good for any device. What is no JWT is the server's to refuse. */
export function namesDevice(token: string): boolean {
  try {
    return claimsIn("the token", token).device_id !== undefined;
  } catch {
    return true;
  }
}

/** Whose token it is, for showing; the server checks it. @throws CliError, also where it names no account */
export function accountIn(what: string, token: string): string {
  const { eid, sub } = claimsIn(what, token);
  for (const name of [eid, sub]) if (typeof name === "string") return name;
  throw new CliError(`${what} names no account (neither eid nor sub)`);
}
