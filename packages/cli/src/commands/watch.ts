import type { BimipClient, BimipError, LocationChange, PresenceChange, PresenceWord } from "@bimip/client";
import { Command, Option } from "commander";
import { CliError } from "../cli-error.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type Session, type SessionOptions, withSessionOptions } from "../session.js";
import { onStopSignal } from "../stop-signal.js";
import { createWatchView, type WatchView } from "../watch-view.js";
import { countOption } from "../whole-number.js";

const DEFAULT_DEVICE = "cli-watch";

interface WatchOptions extends SessionOptions {
  readonly status?: PresenceWord;
  readonly details?: string;
  readonly count?: number;
  readonly json?: boolean;
}

/** `bimip watch`: who is there, as it changes. */
export function watchCommand(context: ProgramContext): Command {
  const command = new Command("watch")
    .description(
      "Show who is there, until Ctrl-C: a table that changes, or where it is no terminal a line for each change. " +
        "Those are shown who let you see them; you are shown to them as well.",
    )
    .addOption(
      new Option("--status <word>", "what to be shown as").choices(["online", "away", "busy", "dnd"]).default("online"),
    )
    .option("--details <text>", "words for it")
    .option("--count <n>", "end after so many changes, those at the start included", countOption);
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON a change: event (presence, location), eid, what is known")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip watch --as alice@example.com
  $ npx bimip watch --as alice@example.com --status busy --details "in a meeting"
  $ npx bimip watch --as alice@example.com --json | jq .eid`,
    )
    .action((options: WatchOptions) => watch(options, context));
}

async function watch(options: WatchOptions, context: ProgramContext): Promise<void> {
  const output = createOutput({ ...context, json: options.json === true });
  const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
  const { client } = session;
  const stop = onStopSignal();
  const view = createWatchView({ output, sink: context.stdout, presence: client.presence, eid: session.eid });
  const done = watched(session, view, options.count);
  // It is waited for later, or never when connecting fails.
  done.catch(() => undefined);
  try {
    say(client, options);
    await Promise.race([connect(session), stop.first, done]);
    await Promise.race([done, stop.first]);
  } catch (error) {
    throw CliError.from(error);
  } finally {
    stop.dispose();
    view.close();
    await client.close();
  }
}

function say({ presence }: BimipClient, { status = "online", details }: WatchOptions): void {
  // Online and no more is what a connection is by itself; said, it would end a status of the account.
  if (status === "online" && details === undefined) return;
  presence.set(status, details === undefined ? {} : { details });
}

/** Resolves after so many changes; rejects when the server ends the session. */
function watched({ client }: Session, view: WatchView, count: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let shown = 0;
    const show = (event: PresenceChange | LocationChange): void => {
      if (shown === count) return;
      if ("before" in event) view.onPresence(event);
      else view.onLocation(event);
      if (++shown === count) resolve();
    };
    client.on("presence", show);
    client.on("location", show);
    client.on("state", (state) => view.onState(state));
    client.on("error", (error: BimipError) => {
      if (client.state === "closed") reject(error);
      else view.onError(error.details);
    });
  });
}
