import { Command } from "commander";
import { chatCommand } from "./commands/chat.js";
import { contactsCommand } from "./commands/contacts.js";
import { decodeCommand } from "./commands/decode.js";
import { doctorCommand } from "./commands/doctor.js";
import { eraseCommand } from "./commands/erase.js";
import { exportCommand } from "./commands/export.js";
import { historyCommand } from "./commands/history.js";
import { listenCommand } from "./commands/listen.js";
import { logoutCommand } from "./commands/logout.js";
import { natsConfigCommand } from "./commands/nats-config.js";
import { sendCommand } from "./commands/send.js";
import { sessionsCommand } from "./commands/sessions.js";
import { tokenCommand } from "./commands/token.js";
import { unreadCommand } from "./commands/unread.js";
import { upCommand } from "./commands/up.js";
import { watchCommand } from "./commands/watch.js";
import type { ProgramContext } from "./program-context.js";

export type { ProgramContext } from "./program-context.js";

const EXAMPLES = `
Examples:
  $ npx bimip up                                                start everything on this machine
  $ npx bimip chat --as alice@example.com --to bob@example.com  in one terminal
  $ npx bimip chat --as bob@example.com --to alice@example.com  in another one
  $ npx bimip send --as alice@example.com --to bob@example.com "hello"
  $ npx bimip listen --as bob@example.com --json
  $ npx bimip history --as bob@example.com --with alice@example.com
  $ npx bimip contacts add bob@example.com --as alice@example.com
  $ npx bimip watch --as alice@example.com
  $ npx bimip sessions --as alice@example.com

Environment: BIMIP_PORT, BIMIP_JWT_SECRET, BIMIP_JWT_ISSUER, BIMIP_JWT_AUDIENCE, BIMIP_DATA_DIR, NATS_URL (export, erase, token revoke),
  NO_COLOR.
Exit code: 0 done, 1 failed, 2 wrong usage.`;

/** The whole command line. Wrong usage throws commander's CommanderError, everything else a CliError. */
export function createProgram(context: ProgramContext): Command {
  const program = new Command("bimip")
    .description("Messages between devices, stored before they are confirmed.")
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError("(add --help for the options)")
    .showSuggestionAfterError()
    .configureOutput({ writeOut: (text) => context.stdout.write(text), writeErr: (text) => context.stderr.write(text) })
    .exitOverride();
  const make = [
    upCommand,
    tokenCommand,
    chatCommand,
    sendCommand,
    listenCommand,
    historyCommand,
    unreadCommand,
    contactsCommand,
    watchCommand,
    sessionsCommand,
    logoutCommand,
    decodeCommand,
    exportCommand,
    eraseCommand,
    doctorCommand,
    natsConfigCommand,
  ];
  for (const create of make) {
    const command = create(context).copyInheritedSettings(program);
    for (const word of command.commands) word.copyInheritedSettings(command);
    program.addCommand(command);
  }
  return program;
}
