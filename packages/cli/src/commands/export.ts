import { call, PROCEDURES } from "@bimip/nats";
import { stanzaToJson } from "@bimip/protocol";
import { Command } from "commander";
import { asOperator, type OperatorOptions, storageSilent, withOperatorOptions } from "../operator.js";
import type { ProgramContext } from "../program-context.js";

const PAGE = 200;
const TIMEOUT_MS = 30_000;

/** `bimip export`: everything in one user's log, for the operator. */
export function exportCommand(context: ProgramContext): Command {
  const command = new Command("export")
    .description("Print everything in one account's log, oldest first: one line of JSON an entry, as decode shows it.")
    .argument("<eid>", "the account");
  return withOperatorOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip export bob@example.com > bob.jsonl
  $ NATS_URL=nats://127.0.0.1:4222 npx bimip export bob@example.com`,
    )
    .action((eid: string, options: OperatorOptions) =>
      asOperator(eid, options, context, async (nc) => {
        for (let after = 0n; ; ) {
          const request = { eid, after, everything: true, limit: PAGE };
          const page = await call(nc, PROCEDURES.history, request, TIMEOUT_MS).catch((error: unknown) => {
            throw storageSilent(error);
          });
          for (const item of page.items) context.stdout.write(`${JSON.stringify(stanzaToJson(item))}\n`);
          if (page.done || page.next <= after) return;
          after = page.next;
        }
      }),
    );
}
