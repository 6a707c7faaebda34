import { Command } from "commander";
import { CliError } from "../cli-error.js";
import { Conversation } from "../conversation.js";
import { createOutput, printable } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";
import { onStopSignal } from "../stop-signal.js";

const DEFAULT_DEVICE = "cli";
/** Who wants to talk does not wait longer to see what was said before. */
const HISTORY_TIMEOUT_MS = 3_000;

interface ChatOptions extends SessionOptions {
  readonly to: string;
  readonly json?: boolean;
}

/** `bimip chat`: two people type to each other. */
export function chatCommand(context: ProgramContext): Command {
  const command = new Command("chat")
    .description(
      "Talk with one person: each line is a message; … = under way, ✓ = stored, ✓✓ = delivered, green = read.",
    )
    .requiredOption("--to <eid>", "whom you talk with");
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON an event: message, sent, delivered, read, played, failed")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip chat --as alice@example.com --to bob@example.com
  $ printf 'one\\ntwo\\n' | npx bimip chat --as alice@example.com --to bob@example.com

Ctrl-D sends what is under way and ends, Ctrl-C ends at once.`,
    )
    .action((options: ChatOptions) => chat(options, context));
}

async function chat(options: ChatOptions, context: ProgramContext): Promise<void> {
  const output = createOutput({ ...context, json: options.json === true });
  const session = await createSession(options, DEFAULT_DEVICE, context, { queryTimeoutMs: HISTORY_TIMEOUT_MS });
  const stop = onStopSignal();
  const conversation = new Conversation(session, options.to, output);
  try {
    await Promise.race([connect(session), stop.first]);
    output.say(
      output.paint("dim", `connected as ${printable(session.eid)}; each line goes to ${printable(options.to)}`),
    );
    await Promise.race([conversation.showEarlier(), stop.first]);
    await Promise.race([conversation.run(context), stop.first]);
  } catch (error) {
    throw CliError.from(error);
  } finally {
    stop.dispose();
    conversation.close();
    await session.client.close();
  }
  if (conversation.failures > 0) throw new CliError(`${conversation.failures} not sent`);
}
