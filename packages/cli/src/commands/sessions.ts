import { Command } from "commander";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { createSession, type SessionOptions, withConnected, withSessionOptions } from "../session.js";
import { sessionTable } from "../shown-session.js";

const DEFAULT_DEVICE = "cli-sessions";

interface SessionsOptions extends SessionOptions {
  readonly json?: boolean;
}

/** `bimip sessions`: where one is connected. */
export function sessionsCommand(context: ProgramContext): Command {
  const command = new Command("sessions").description(
    "Show where you are connected: each device with an open connection, this command's own included.",
  );
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON a session: device, node, since, lastSeen, address, current")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip sessions --as alice@example.com
  $ npx bimip sessions --as alice@example.com --json | jq -r 'select(.current | not).device'
  $ npx bimip logout --as alice@example.com --device phone`,
    )
    .action(async (options: SessionsOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
      const sessions = await withConnected(session, (client) => client.sessions());
      if (output.json) for (const open of sessions) output.result(open, "");
      else output.say(sessionTable(sessions, output));
    });
}
