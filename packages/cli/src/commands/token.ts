import { issueToken } from "@bimip/auth";
import { LIMITS, nameProblem } from "@bimip/protocol";
import { Command, Option, InvalidArgumentError } from "commander";
import { CliError } from "../cli-error.js";
import { parseDurationS } from "../duration.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { type SecretOptions, secretOf, withSecretOptions } from "../session.js";

interface TokenCommandOptions extends SecretOptions {
  readonly eid: string;
  readonly device?: string;
  readonly expires: number;
  readonly scope?: string;
  readonly name?: string;
  readonly json?: boolean;
}

/** `bimip token`: signs a token with the server's secret. */
export function tokenCommand(context: ProgramContext): Command {
  const command = new Command("token")
    .description("Make a token for an account, signed with the server's secret.")
    .requiredOption("--eid <eid>", "the account")
    .option("--device <name>", "bind it to one device; otherwise a device names itself with ?device=")
    .addOption(
      new Option("--expires <duration>", "how long it is good: 90s, 15m, 24h, 7d")
        .argParser(duration)
        .default(86_400, "24h"),
    )
    .option("--scope <scopes>", "scopes, separated by spaces, such as push")
    .option("--name <name>", "what to show instead of the EID")
    .option("--json", "one line of JSON");
  return withSecretOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip token --eid alice@example.com --device phone
  $ npx bimip listen --token "$(npx bimip token --eid alice@example.com --device phone)"`,
    )
    .action(async (options: TokenCommandOptions) => {
      const { eid, device, expires: expiresInS, scope, name } = options;
      checkName("--eid", eid, LIMITS.eidBytes);
      if (device !== undefined) checkName("--device", device, LIMITS.deviceBytes);
      const secret = await secretOf(options, context.env);
      const token = await issueToken({
        secret,
        eid,
        expiresInS,
        ...(device !== undefined && { device }),
        ...(scope !== undefined && { scope }),
        ...(name !== undefined && { name }),
      });
      const output = createOutput({ ...context, json: options.json === true });
      output.result({ token, eid, ...(device !== undefined && { device }), expiresInS }, token);
    });
}

function checkName(option: string, name: string, maxBytes: number): void {
  const problem = nameProblem(name, maxBytes);
  if (problem !== undefined) throw new CliError(`${option}: ${problem}`);
}

function duration(text: string): number {
  const seconds = parseDurationS(text);
  if (seconds === undefined) throw new InvalidArgumentError("Use 90s, 15m, 24h or 7d.");
  return seconds;
}
