import { issueToken } from "@bimip/auth";
import { createClient, type Tokens } from "@bimip/client";
import { LIMITS, nameProblem } from "@bimip/protocol";
import { Command, InvalidArgumentError, Option } from "commander";
import { CliError, UsageError } from "../../cli-error.js";
import { parseDurationS } from "../../duration.js";
import { createOutput, type Output, printable } from "../../output.js";
import type { ProgramContext } from "../../program-context.js";
import {
  addressing,
  type SecretOptions,
  signerOf,
  urlOf,
  withConnected,
  withSecretOptions,
  withUrlOption,
} from "../../session.js";
import { timeText } from "../../shown-message.js";

interface MakeOptions extends SecretOptions {
  readonly eid?: string;
  readonly device?: string;
  readonly expires: number;
  readonly scope?: string;
  readonly name?: string;
  readonly issuer?: string;
  readonly audience?: string;
  readonly refresh?: boolean;
  readonly url?: string;
  readonly json?: boolean;
}

/** `bimip token make`: signs a token, with `--refresh` begins a family of refresh tokens with it. */
export function makeCommand(context: ProgramContext): Command {
  const command = new Command("make")
    .description("Make a token (the same without a word).")
    .argument("[words...]")
    .usage("--eid <eid> [options]")
    .option("--eid <eid>", "the account")
    .option("--device <name>", "bind it to one device; otherwise a device names itself with ?device=")
    .addOption(
      new Option("--expires <duration>", "how long it is good: 90s, 15m, 24h, 7d")
        .argParser(duration)
        .default(86_400, "24h"),
    )
    .option("--scope <scopes>", "scopes, separated by spaces: push, no-copy, refresh, admin")
    .option("--name <name>", "what to show instead of the EID")
    .option("--issuer <text>", "iss (default: the first of BIMIP_JWT_ISSUER)")
    .option("--audience <text>", "aud (default: the first of BIMIP_JWT_AUDIENCE)")
    .option(
      "--refresh",
      "have the server begin a family of refresh tokens with it, and print what it gave: the access token, then the refresh token",
    );
  withSecretOptions(withUrlOption(command));
  return command
    .option(
      "--json",
      "one line of JSON: token, eid, device, expiresInS; with --refresh token, refreshToken, expiresAt, eid, device",
    )
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip token make --eid alice@example.com --device phone --expires 15m
  $ npx bimip token make --eid ops@example.com --scope admin --key-file private.pem
  $ npx bimip token make --eid alice@example.com --device phone --refresh --json

With --refresh the command connects as that device for a moment: a connection that it has ends.`,
    )
    .action((words: readonly string[], options: MakeOptions) => make(words, options, context));
}

async function make(words: readonly string[], options: MakeOptions, context: ProgramContext): Promise<void> {
  const { eid, device, expires: expiresInS, scope, name } = options;
  if (words[0] !== undefined) {
    throw new UsageError(`unknown action ${printable(words[0])}: token takes make, refresh, validate, revoke`);
  }
  if (eid === undefined) throw new UsageError("say whose token: --eid <eid>");
  checkName("--eid", eid, LIMITS.eidBytes);
  if (device !== undefined) checkName("--device", device, LIMITS.deviceBytes);
  const { issuer, audience } = { ...addressing(context.env), ...options };
  const withRefresh = options.refresh === true;
  const scopes = withRefresh ? `${scope ?? ""} refresh`.trim() : scope;
  const token = await issueToken({
    ...(await signerOf(options, context.env)),
    eid,
    expiresInS,
    ...(device !== undefined && { device }),
    ...(scopes !== undefined && { scope: scopes }),
    ...(name !== undefined && { name }),
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience }),
  });
  const output = createOutput({ ...context, json: options.json === true });
  if (!withRefresh) {
    return output.result({ token, eid, ...(device !== undefined && { device }), expiresInS }, token);
  }
  if (device === undefined) throw new UsageError("refresh tokens are one device's: say --device <name>");
  const url = urlOf(options, context.env);
  const client = createClient({ url, token, eid, receive: false });
  // Printed below.
  client.on("tokens", () => undefined);
  const tokens = await withConnected({ client, eid, url }, () => client.refresh());
  tellTokens(output, { ...tokens, eid, device });
}

/** What the server made: each token in a line of its own. */
export function tellTokens(output: Output, tokens: Tokens & { readonly eid: string; readonly device: string }): void {
  const { token, refreshToken, expiresAt } = tokens;
  output.result(tokens, `${token}\n${refreshToken}`);
  if (output.json || expiresAt === 0) return;
  output.note(`the first is good until ${timeText(new Date(expiresAt))}; the second renews it, once`);
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
