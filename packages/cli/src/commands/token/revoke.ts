import { SCOPES } from "@bimip/auth";
import { call, PROCEDURES } from "@bimip/nats";
import type { Revocation } from "@bimip/client";
import { LIMITS, nameProblem } from "@bimip/protocol";
import { Command, InvalidArgumentError } from "commander";
import { CliError, UsageError } from "../../cli-error.js";
import { parseDurationS } from "../../duration.js";
import { claimsIn } from "../../jwt-claims.js";
import { type OperatorOptions, serviceSilent, withNats, withNatsOption } from "../../operator.js";
import { createOutput, printable } from "../../output.js";
import type { ProgramContext } from "../../program-context.js";
import { createSession, withConnected, type WhoOptions, withWhoOptions } from "../../session.js";
import { tokenArgument } from "../../token-argument.js";

const DEVICE = "cli-token";
const TIMEOUT_MS = 5_000;

interface RevokeOptions extends WhoOptions, OperatorOptions {
  readonly eid?: string;
  readonly device?: string;
  readonly jti?: string;
  /** Epoch milliseconds. */
  readonly expires?: number;
  readonly json?: boolean;
}

/** `bimip token revoke`: tokens that are refused from now on, asked for by a user, or by the operator past the gateways. */
export function revokeCommand(context: ProgramContext): Command {
  const command = new Command("revoke")
    .description(
      "Refuse tokens from now on, on every gateway: one, those of a device, or all of an account. Asked of the router through " +
        "NATS, by the operator; with --as or --token of a gateway, by that user.",
    )
    .argument("[token]", "the token to be refused; - reads it from standard input")
    .option("--eid <eid>", "all tokens of this account that were issued up to now")
    .option("--device <name>", "only those of this device of the account")
    .option("--jti <id>", "the token of this id")
    .option("--expires <when>", "when that token expires: 2027-01-31T12:00Z, or 15m, 24h, 7d from now", moment);
  return withNatsOption(withWhoOptions(command))
    .option("--json", "one line of JSON: jti, expiresAt, eid, device, revoked")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip token revoke --eid alice@example.com --device phone
  $ npx bimip token revoke --eid alice@example.com
  $ npx bimip token revoke "$TOKEN"
  $ npx bimip token revoke --jti 7f6a… --expires 24h --nats nats://127.0.0.1:4222
  $ npx bimip token revoke --device phone --as alice@example.com`,
    )
    .action(async (given: string | undefined, options: RevokeOptions) => {
      const asUser = options.as !== undefined || options.token !== undefined;
      const what = await whatOf(given, options, context, asUser);
      if (asUser) await revokeAsUser(what, options, context);
      else await revokeAsOperator(what, options, context);
      const output = createOutput({ ...context, json: options.json === true });
      output.result({ ...what, revoked: true }, `refused from now on: ${textOf(what)}`);
    });
}

/** A revocation that names its account where it is no user who asks. */
type What = Omit<Revocation, "token">;

async function whatOf(
  given: string | undefined,
  options: RevokeOptions,
  context: ProgramContext,
  asUser: boolean,
): Promise<What> {
  const { eid, device, jti, expires } = options;
  const ways = [given, jti, eid ?? device].filter((way) => way !== undefined);
  if (ways.length !== 1) throw new UsageError("say one of <token>, --jti <id>, --eid <eid> with or without --device");
  if (expires !== undefined && jti === undefined) throw new UsageError("--expires goes with --jti");
  if (given !== undefined) return ofToken(await tokenArgument(given, context));
  if (jti !== undefined) {
    if (jti === "") throw new UsageError("--jti: is missing");
    return { jti, ...(expires !== undefined && { expiresAt: expires }) };
  }
  if (eid === undefined && !asUser) throw new UsageError("whose device? --eid <eid>");
  if (eid !== undefined) checkName("--eid", eid, LIMITS.eidBytes);
  if (device !== undefined) checkName("--device", device, LIMITS.deviceBytes);
  return { ...(eid !== undefined && { eid }), ...(device !== undefined && { device }) };
}

function ofToken(token: string): What {
  const { jti, exp } = claimsIn("the token", token);
  if (typeof jti !== "string" || jti === "") {
    throw new CliError("the token has no id (jti): revoke those of its device or account, --eid <eid> --device <name>");
  }
  return { jti, ...(typeof exp === "number" && { expiresAt: Math.ceil(exp * 1_000) }) };
}

async function revokeAsUser(what: What, options: RevokeOptions, context: ProgramContext): Promise<void> {
  const { device: _of, ...who } = options;
  const session = await createSession(who, DEVICE, context, { receive: false, scope: SCOPES.admin });
  await withConnected(session, (client) => client.revoke(what));
}

async function revokeAsOperator(what: What, options: RevokeOptions, context: ProgramContext): Promise<void> {
  const { jti, expiresAt = 0, eid = "", device } = what;
  const named =
    jti !== undefined
      ? { case: "jti" as const, value: jti }
      : device === undefined
        ? { case: "eid" as const, value: eid }
        : { case: "device" as const, value: { eid, device } };
  const request = { what: named, expiresAt: BigInt(expiresAt), by: "operator" };
  const answer = await withNats(options, context, (nc) =>
    call(nc, PROCEDURES.revoke, request, TIMEOUT_MS).catch((cause: unknown) => {
      throw serviceSilent("the router", cause);
    }),
  );
  if (answer.code !== 0) throw new CliError(`${answer.code} ${answer.details}`, { code: answer.code });
}

function textOf({ jti, eid, device }: What): string {
  if (jti !== undefined) return `the token ${printable(jti)}`;
  const whose = eid === undefined ? "your account" : printable(eid);
  return device === undefined
    ? `all tokens of ${whose} up to now`
    : `tokens of ${whose}'s device ${printable(device)} up to now`;
}

function checkName(option: string, name: string, maxBytes: number): void {
  const problem = nameProblem(name, maxBytes);
  if (problem !== undefined) throw new UsageError(`${option}: ${problem}`);
}

/** Epoch milliseconds of a time, or of a duration from now. */
function moment(text: string): number {
  const seconds = parseDurationS(text);
  const ms = seconds === undefined ? Date.parse(text) : Date.now() + seconds * 1_000;
  if (Number.isNaN(ms))
    throw new InvalidArgumentError("Use a time such as 2027-01-31T12:00Z, or 15m, 24h, 7d from now.");
  if (ms <= Date.now()) throw new InvalidArgumentError("It lies in the past: that token has expired.");
  return ms;
}
