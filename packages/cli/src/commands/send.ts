import { text as readText } from "node:stream/consumers";
import { Command } from "commander";
import { CliError } from "../cli-error.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { refusalOf } from "../refusal.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";
import { countOption } from "../whole-number.js";

/** Not that of chat or listen, which a second connection of the same device would end. */
const DEFAULT_DEVICE = "cli-send";

interface SendOptions extends SessionOptions {
  readonly to: string;
  readonly toDevice?: string;
  readonly id?: string;
  readonly timestamp?: number;
  readonly json?: boolean;
}

/** `bimip send`: one message, done when it is stored. */
export function sendCommand(context: ProgramContext): Command {
  const command = new Command("send")
    .description("Send one message and wait until it is stored.")
    .argument("[text...]", "the text; read from standard input when it is missing or -")
    .requiredOption("--to <eid>", "the recipient")
    .option("--to-device <name>", "only for this device of the recipient")
    .option("--id <id>", "id of the message; repeated with the same --timestamp it is stored once")
    .option(
      "--timestamp <ms>",
      "when it was sent first, Unix epoch milliseconds; default now. A repeat with another one is stored again once the server's dedupe window (2 minutes unless configured) is over",
      countOption,
    );
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON: id, to, index, logIndex")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip send --as alice@example.com --to bob@example.com "hello"
  $ npx bimip send --as alice@example.com --to bob@example.com --id order-7 --timestamp 1767225600000 "shipped"
  $ echo "from a script" | npx bimip send --as alice@example.com --to bob@example.com --json`,
    )
    .action(async (words: string[], options: SendOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const text = await textOf(words, context);
      const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
      await connect(session);
      try {
        const { to, toDevice: device, id, timestamp } = options;
        const sent = await session.client.send({
          to: device === undefined ? to : { eid: to, device },
          text,
          ...(id !== undefined && { id }),
          ...(timestamp !== undefined && { timestamp }),
        });
        output.result(
          sent,
          `${output.paint("green", "✓")} stored at index ${sent.index} of ${sent.to} (id ${sent.id})`,
        );
      } catch (error) {
        throw refusalOf(error, options.to);
      } finally {
        await session.client.close();
      }
    });
}

async function textOf(words: readonly string[], { stdin }: ProgramContext): Promise<string> {
  const given = words.join(" ");
  if (given !== "" && given !== "-") return given;
  if (stdin.isTTY === true && given === "") throw new CliError('nothing to send: give a text, such as "hello"');
  const text = (await readText(stdin)).replace(/\r?\n$/, "");
  if (text === "") throw new CliError("nothing to send: the text is empty");
  return text;
}
