import type { HistoryItem } from "@bimip/client";
import { Command } from "commander";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";
import { historyText, messageJson } from "../shown-message.js";
import { countOption } from "../whole-number.js";

/** Not that of a command that stays connected, which a second connection of the same device would end. */
const DEFAULT_DEVICE = "cli-history";
const DEFAULT_LIMIT = 20;
const PAGE = 100;

interface HistoryCommandOptions extends SessionOptions {
  readonly with?: string;
  readonly limit: number;
  readonly json?: boolean;
}

/** `bimip history`: the last messages of one's own log. */
export function historyCommand(context: ProgramContext): Command {
  const command = new Command("history")
    .description("Print the last messages, the newest last: ✓ stored, ✓✓ delivered, in green once read.")
    .option("--with <eid>", "only the conversation with this account")
    .option("--limit <n>", "so many messages", countOption, DEFAULT_LIMIT);
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON a message, with its receipts")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip history --as bob@example.com
  $ npx bimip history --as bob@example.com --with alice@example.com --limit 100 --json`,
    )
    .action(async (options: HistoryCommandOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
      await connect(session);
      try {
        for (const item of await newest(session.client, options.limit, options.with)) {
          output.result(messageJson(item.kind, item), historyText(item, output));
        }
      } finally {
        await session.client.close();
      }
    });
}

/** The newest `limit` messages, oldest first. */
export async function newest(
  client: { history(options: { with?: string; pageSize: number }): AsyncGenerator<HistoryItem> },
  limit: number,
  partner?: string,
): Promise<HistoryItem[]> {
  const items: HistoryItem[] = [];
  const options = { pageSize: Math.min(limit, PAGE), ...(partner !== undefined && { with: partner }) };
  for await (const item of client.history(options)) {
    items.unshift(item);
    if (items.length === limit) break;
  }
  return items;
}
