import { Command } from "commander";
import { createOutput, printable } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";

const DEFAULT_DEVICE = "cli-unread";

interface UnreadCommandOptions extends SessionOptions {
  readonly with?: string;
  readonly json?: boolean;
}

/** `bimip unread`: how much one has not read yet. */
export function unreadCommand(context: ProgramContext): Command {
  const command = new Command("unread")
    .description("Count what is unread, by conversation (up to 999).")
    .option("--with <eid>", "only the conversation with this account");
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON: total, rows")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip unread --as bob@example.com
  $ npx bimip unread --as bob@example.com --with alice@example.com --json`,
    )
    .action(async (options: UnreadCommandOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
      await connect(session);
      try {
        const unread = await session.client.unread(options.with === undefined ? {} : { with: options.with });
        const rows = unread.rows.map(({ with: eid, count }) => `${String(count).padStart(4)}  ${printable(eid)}`);
        output.result(unread, [...rows, `${String(unread.total).padStart(4)}  unread`].join("\n"));
      } finally {
        await session.client.close();
      }
    });
}
