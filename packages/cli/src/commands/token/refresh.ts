import { createClient, type Tokens } from "@bimip/client";
import { Command } from "commander";
import { CliError } from "../../cli-error.js";
import { claimsIn } from "../../jwt-claims.js";
import { createOutput } from "../../output.js";
import type { ProgramContext } from "../../program-context.js";
import { urlOf, withConnected, withUrlOption } from "../../session.js";
import { tokenArgument } from "../../token-argument.js";
import { tellTokens } from "./make.js";

interface RefreshOptions {
  readonly url?: string;
  readonly json?: boolean;
}

/** `bimip token refresh`: new tokens for a refresh token, which is used up by it. */
export function refreshCommand(context: ProgramContext): Command {
  const command = new Command("refresh")
    .description("Have the server make new tokens for a refresh token, which it takes only once.")
    .argument("[refresh-token]", "the refresh token; read from standard input when it is missing or -");
  return withUrlOption(command)
    .option("--json", "one line of JSON: token, refreshToken, expiresAt, eid, device")
    .addHelpText(
      "after",
      `
Prints the access token, then the refresh token, each in a line of its own.

Examples:
  $ npx bimip token refresh < refresh-token.txt
  $ npx bimip token refresh --json < refresh-token.txt | jq -r .token

There is no --secret and no --data-dir: the refresh token is all that the server asks for.
The command connects as the token's device for a moment: a connection that it has ends.`,
    )
    .action(async (given: string | undefined, options: RefreshOptions) => {
      const refreshToken = await tokenArgument(given, context);
      const { sub, device_id } = claimsIn("the refresh token", refreshToken);
      const [eid, device] = [String(sub), String(device_id)];
      const url = urlOf(options, context.env);
      const client = createClient({ url, refreshToken, receive: false });
      let tokens: Tokens | undefined;
      client.on("tokens", (made) => void (tokens = made));
      await withConnected({ client, eid, url }, () => Promise.resolve());
      if (tokens === undefined) throw new CliError("the server made no tokens");
      tellTokens(createOutput({ ...context, json: options.json === true }), { ...tokens, eid, device });
    });
}
