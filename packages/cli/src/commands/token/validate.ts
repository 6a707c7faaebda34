import { SCOPES } from "@bimip/auth";
import { Command } from "commander";
import { CliError } from "../../cli-error.js";
import { accountIn } from "../../jwt-claims.js";
import { createOutput, printable } from "../../output.js";
import type { ProgramContext } from "../../program-context.js";
import { createSession, withConnected, type WhoOptions, withWhoOptions } from "../../session.js";
import { timeText } from "../../shown-message.js";
import { tokenArgument } from "../../token-argument.js";

const DEVICE = "cli-token";

interface ValidateOptions extends WhoOptions {
  readonly json?: boolean;
}

/** `bimip token validate`: what the server thinks of a token. */
export function validateCommand(context: ProgramContext): Command {
  const command = new Command("validate")
    .description("Ask the server whether a token lets in: exit code 0 if it does, 1 if not.")
    .argument("[token]", "the token; read from standard input when it is missing or -");
  return withWhoOptions(command)
    .option("--json", "one line of JSON: valid, eid, device, jti, expiresAt, or valid, details")
    .addHelpText(
      "after",
      `
Who asks is the token's account itself, by a token made for it, unless --as or --token say who. Tokens of other accounts may be
asked about with the scope admin, which a token that is made here has.

Examples:
  $ npx bimip token validate "$TOKEN"
  $ npx bimip token validate --token "$ADMIN_TOKEN" --json < token.txt`,
    )
    .action(async (given: string | undefined, options: ValidateOptions) => {
      const token = await tokenArgument(given, context);
      const as = options.as ?? (options.token === undefined ? accountIn("the token", token) : undefined);
      const who = { ...options, ...(as !== undefined && { as }) };
      const session = await createSession(who, DEVICE, context, { receive: false, scope: SCOPES.admin });
      const check = await withConnected(session, (client) => client.validate(token));
      const output = createOutput({ ...context, json: options.json === true });
      if (!check.valid) {
        if (output.json) output.result(check, "");
        throw new CliError(`not valid: ${check.details}`);
      }
      const { eid, device, jti, expiresAt } = check;
      const until = expiresAt === 0 ? "does not expire" : `until ${timeText(new Date(expiresAt))}`;
      const id = jti === "" ? "without an id" : `id ${printable(jti)}`;
      output.result(
        check,
        `${output.paint("green", "✓")} ${printable(eid)}, device ${printable(device)}, ${until}, ${id}`,
      );
    });
}
