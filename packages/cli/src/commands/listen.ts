import type { BimipClient, IncomingMessage, IncomingPush } from "@bimip/client";
import { Command } from "commander";
import { CliError } from "../cli-error.js";
import { createOutput, type Output } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";
import { messageJson, messageText } from "../shown-message.js";
import { onStopSignal } from "../stop-signal.js";
import { countOption } from "../whole-number.js";

const DEFAULT_DEVICE = "cli-listen";

interface ListenOptions extends SessionOptions {
  readonly count?: number;
  readonly new?: boolean;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** `bimip listen`: prints what arrives. */
export function listenCommand(context: ProgramContext): Command {
  const command = new Command("listen")
    .description(
      "Print what arrives: first what this device has not had yet, then what comes, until Ctrl-C. A user's first device begins " +
        "with the oldest message, a further new one with what comes now; --all shows everything.",
    )
    .option("--count <n>", "end after so many messages", countOption)
    .option("--all", "begin with the oldest message that is stored, one's own included")
    .option("--new", "skip what was stored before");
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON a message")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip listen --as bob@example.com
  $ npx bimip listen --as bob@example.com --all --count 10
  $ npx bimip listen --as bob@example.com --new --count 1 --json`,
    )
    .action((options: ListenOptions) => listen(options, context));
}

async function listen(options: ListenOptions, context: ProgramContext): Promise<void> {
  const output = createOutput({ ...context, json: options.json === true });
  const begin = options.all === true ? "everything" : "cursor";
  // What is not shown, since --count is reached, comes the next time.
  const session = await createSession(options, DEFAULT_DEVICE, context, { begin, acknowledge: "manual" });
  const { client } = session;
  const stop = onStopSignal();
  let shown = 0;
  const done = new Promise<void>((resolve, reject) => {
    const show = (kind: "message" | "push", message: IncomingMessage | IncomingPush): void => {
      if (shown === options.count) return;
      message.delivered();
      if (options.new === true && message.replayed) return;
      output.result(messageJson(kind, message), messageText(message, output));
      if (++shown === options.count) resolve();
    };
    client.on("message", (message) => show("message", message));
    client.on("push", (push) => show("push", push));
    client.on("error", (error) => (client.state === "closed" ? reject(error) : output.note(error.details)));
  });
  // Both are waited for later, or never when connecting fails.
  done.catch(() => undefined);
  try {
    await Promise.race([connect(session), stop.first, done]);
    if (shown === 0 && begin === "cursor" && options.new !== true) await noteOlder(client, output);
    if (shown !== options.count) output.note(`listening as ${session.eid}, Ctrl-C ends`);
    await Promise.race([done, stop.first]);
  } catch (error) {
    throw CliError.from(error);
  } finally {
    stop.dispose();
    await client.close();
  }
}

/** A further device begins with what comes now: nobody shall take that for an empty log. */
async function noteOlder(client: BimipClient, output: Output): Promise<void> {
  const { total } = await client.unread().catch(() => ({ total: 0 }));
  if (total > 0)
    output.note(`nothing new for this device; ${total} of others' messages are unread, --all shows what is stored`);
}
