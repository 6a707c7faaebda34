import { SCOPES } from "@bimip/auth";
import type { LogoutOptions } from "@bimip/client";
import { Command, Option } from "commander";
import { UsageError } from "../cli-error.js";
import { namesDevice } from "../jwt-claims.js";
import { createOutput, printable } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { createSession, withConnected, type WhoOptions, withWhoOptions } from "../session.js";

const DEVICE = "cli-logout";

interface LogoutCommandOptions extends WhoOptions {
  readonly device?: string;
  readonly session?: string;
  readonly account?: boolean;
  readonly everywhere?: boolean;
  readonly of?: string;
  readonly json?: boolean;
}

/** `bimip logout`: ends connections, of this or another device, and has tokens refused. */
export function logoutCommand(context: ProgramContext): Command {
  const command = new Command("logout")
    .description(
      "Log out a device or the whole account: its tokens of up to now are refused from now on, connections end. " +
        "With --token alone, the device of that token.",
    )
    .option("--device <name>", "the device of this name")
    .option("--session <name>", "only the open connection of this device; its tokens stay good")
    .option("--account", "all devices")
    // As the SDK calls it.
    .addOption(new Option("--everywhere", "the same as --account").hideHelp())
    .option("--of <eid>", "of another account; a token that you give needs the scope admin");
  return withWhoOptions(command)
    .option("--json", "one line of JSON: eid, what (device, session, account), device")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip logout --as alice@example.com --device phone
  $ npx bimip logout --as alice@example.com --session laptop
  $ npx bimip logout --as alice@example.com --account
  $ npx bimip logout --token "$TOKEN"
  $ npx bimip logout --token "$ADMIN_TOKEN" --of mallory@example.com --account`,
    )
    .action(async (options: LogoutCommandOptions) => {
      const { device, session: ofSession, everywhere = false, account = everywhere, of, ...who } = options;
      const given = [device, ofSession, account || undefined].filter((value) => value !== undefined);
      if (given.length > 1) throw new UsageError("--device, --session and --account exclude each other");
      const isOwn = given.length === 0;
      const isToken = options.token !== undefined && namesDevice(options.token);
      if (isOwn && (!isToken || of !== undefined)) {
        throw new UsageError("say what: --device <name>, --session <name> or --account");
      }
      const target: LogoutOptions = {
        ...(device !== undefined && { device }),
        ...(ofSession !== undefined && { session: ofSession }),
        ...(account && { everywhere: true }),
        ...(of !== undefined && { eid: of }),
      };
      const output = createOutput({ ...context, json: options.json === true });
      const scope = of === undefined ? {} : { scope: SCOPES.admin };
      const session = await createSession(who, DEVICE, context, { receive: false, ...scope });
      await withConnected(session, (client) => client.logout(target));
      const eid = of ?? session.eid;
      const what = account ? "account" : ofSession === undefined ? "device" : "session";
      const name = device ?? ofSession;
      output.result(
        { eid, what, ...(name !== undefined && { device: name }) },
        `${output.paint("green", "✓")} logged out: ${textOf(printable(eid), what, name)}`,
      );
    });
}

function textOf(eid: string, what: "account" | "device" | "session", name: string | undefined): string {
  if (what === "account") return `all devices of ${eid}`;
  const device = name === undefined ? "the token's device" : `the device ${printable(name)}`;
  return what === "device" ? `${device} of ${eid}` : `${device} of ${eid}, for this time`;
}
