import type { AcceptOptions, BimipClient, Contact } from "@bimip/client";
import { Command, InvalidArgumentError } from "commander";
import { UsageError } from "../cli-error.js";
import { createOutput, printable } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { refusalOf } from "../refusal.js";
import { connect, createSession, type SessionOptions, withSessionOptions } from "../session.js";
import { contactTable, relationText } from "../shown-contact.js";
import { shellWord } from "../welcome.js";

const DEFAULT_DEVICE = "cli-contacts";

interface ContactsOptions extends SessionOptions {
  readonly json?: boolean;
}

interface ActOptions extends ContactsOptions {
  readonly follow?: boolean;
  readonly precision?: number;
  readonly details?: string;
}

/** One thing to do with a contact. */
interface Act {
  readonly name: string;
  readonly description: string;
  /** Takes --precision and --details. */
  readonly says?: true;
  /** Answers with what is shown. */
  readonly run: (client: BimipClient, eid: string, options: ActOptions) => Promise<Contact | string>;
}

const ACTS: readonly Act[] = [
  {
    name: "add",
    description: "Ask somebody to be contacts of each other. If they have asked the same, you are at once.",
    says: true,
    run: ({ contacts }, eid, options) =>
      contacts.request(eid, { relationship: options.follow === true ? "unilateral" : "mutual", ...saidIn(options) }),
  },
  {
    name: "accept",
    description: "Accept what somebody asked.",
    says: true,
    run: ({ contacts }, eid, options) => contacts.accept(eid, saidIn(options)),
  },
  {
    name: "deny",
    description: "Deny what somebody asked.",
    run: ({ contacts }, eid) => contacts.deny(eid).then(() => "denied"),
  },
  {
    name: "remove",
    description: "End what stands between you and somebody, requests too.",
    run: ({ contacts }, eid) => contacts.remove(eid).then(() => "removed"),
  },
  {
    name: "block",
    description: "End what stands between you and somebody, and let nothing through any more, in either direction.",
    run: ({ contacts }, eid) => contacts.block(eid),
  },
  {
    name: "unblock",
    description: "Let somebody write to you again.",
    run: ({ contacts }, eid) => contacts.unblock(eid).then(() => "not blocked"),
  },
];

/** `bimip contacts`: whom one knows, and what is to be with them. */
export function contactsCommand(context: ProgramContext): Command {
  const command = new Command("contacts")
    .description("Show whom you know: contacts, followers, requests, blocks; or change it.")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip contacts --as alice@example.com
  $ npx bimip contacts add bob@example.com --as alice@example.com --details "it's Alice"
  $ npx bimip contacts add news@example.com --follow --as alice@example.com
  $ npx bimip contacts accept alice@example.com --as bob@example.com --precision 500
  $ npx bimip contacts block mallory@example.com --as bob@example.com`,
    );
  command.addCommand(listCommand(context), { isDefault: true });
  for (const act of ACTS) command.addCommand(actCommand(act, context));
  return command;
}

function listCommand(context: ProgramContext): Command {
  const command = new Command("list")
    .description("Show whom you know (the same without a word).")
    .argument("[words...]")
    .usage("[options]");
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON a contact")
    .action(async (words: readonly string[], options: ContactsOptions) => {
      if (words[0] !== undefined) throw unknownAction(words[0]);
      const output = createOutput({ ...context, json: options.json === true });
      await withClient(options, context, async (client) => {
        const contacts = await client.contacts.list();
        if (output.json) for (const contact of contacts) output.result(contact, "");
        else if (contacts.length === 0)
          output.note(
            `nobody yet: npx bimip contacts add <eid>${options.as === undefined ? "" : ` --as ${shellWord(options.as)}`}`,
          );
        else output.say(contactTable(contacts, output));
      });
    });
}

function actCommand({ name, description, says, run }: Act, context: ProgramContext): Command {
  const command = new Command(name).description(description).argument("<eid>", "the other account");
  if (name === "add") command.option("--follow", "only to follow them: to see whether they are there");
  if (says === true) {
    command
      .option(
        "--precision <metres>",
        "how exactly they may know where you are: metres, or none; exactly unless told",
        metres,
      )
      .option("--details <text>", "words for it");
  }
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON: the contact, or eid and done")
    .action(async (eid: string, options: ActOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      await withClient(options, context, async (client) => {
        const outcome = await run(client, eid, options).catch((error: unknown) => {
          throw refusalOf(error, eid);
        });
        const isDone = typeof outcome === "string";
        const text = isDone ? outcome : relationText(outcome);
        output.result(isDone ? { eid, done: outcome } : outcome, `${output.paint("cyan", printable(eid))}: ${text}`);
      });
    });
}

async function withClient(
  options: ContactsOptions,
  context: ProgramContext,
  work: (client: BimipClient) => Promise<void>,
): Promise<void> {
  const session = await createSession(options, DEFAULT_DEVICE, context, { receive: false });
  await connect(session);
  try {
    await work(session.client);
  } finally {
    await session.client.close();
  }
}

function saidIn({ precision, details }: ActOptions): AcceptOptions {
  return {
    ...(precision !== undefined && { locationPrecisionM: precision }),
    ...(details !== undefined && { details }),
  };
}

function unknownAction(word: string): UsageError {
  const names = ACTS.map(({ name }) => name).join(", ");
  return new UsageError(`unknown action ${printable(word)}: contacts takes list, ${names}`);
}

/** What the protocol's field holds. */
const MAX_METRES = 2_147_483_647;

function metres(text: string): number {
  if (text === "none") return -1;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > MAX_METRES) throw new InvalidArgumentError("Use metres, or none.");
  return number;
}
