import { Command } from "commander";
import type { ProgramContext } from "../program-context.js";
import { makeCommand } from "./token/make.js";
import { refreshCommand } from "./token/refresh.js";
import { revokeCommand } from "./token/revoke.js";
import { validateCommand } from "./token/validate.js";

/** `bimip token`: makes tokens, renews them, asks about them, has them refused. */
export function tokenCommand(context: ProgramContext): Command {
  const command = new Command("token")
    .description(
      "Make a token for an account, signed with the server's key; or renew, check or revoke one. " +
        "Without a word it is `make`: its options (--eid, --device, --expires …) are in `bimip token make --help`.",
    )
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip token --eid alice@example.com --device phone
  $ npx bimip listen --token "$(npx bimip token --eid alice@example.com --device phone)"
  $ npx bimip token --eid alice@example.com --device phone --refresh
  $ npx bimip token refresh < refresh-token.txt
  $ npx bimip token validate "$TOKEN"
  $ npx bimip token revoke --eid alice@example.com --device phone`,
    );
  command.addCommand(makeCommand(context), { isDefault: true });
  for (const create of [refreshCommand, validateCommand, revokeCommand]) command.addCommand(create(context));
  return command;
}
