import { call, PROCEDURES } from "@bimip/nats";
import { Command } from "commander";
import { UsageError } from "../cli-error.js";
import { asOperator, type OperatorOptions, storageSilent, withOperatorOptions } from "../operator.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";

/** A long log takes its time. */
const TIMEOUT_MS = 60_000;

interface EraseOptions extends OperatorOptions {
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** `bimip erase`: forgets one user's log, for the operator. */
export function eraseCommand(context: ProgramContext): Command {
  const command = new Command("erase")
    .description("Delete everything in one account's log, for good. Copies in other accounts' logs stay.")
    .argument("<eid>", "the account")
    .option("--yes", "really do it");
  return withOperatorOptions(command)
    .option("--json", "one line of JSON: eid, erased, trimmedTo")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip export bob@example.com > bob.jsonl
  $ npx bimip erase bob@example.com --yes`,
    )
    .action(async (eid: string, options: EraseOptions) => {
      if (options.yes !== true) throw new UsageError(`this deletes the log of ${eid} for good: say --yes`);
      const output = createOutput({ ...context, json: options.json === true });
      const answer = await asOperator(eid, options, context, (nc) =>
        call(nc, PROCEDURES.erase, { eid }, TIMEOUT_MS).catch((error: unknown) => {
          throw storageSilent(error);
        }),
      );
      const { erased, trimmedTo } = { erased: Number(answer.erased), trimmedTo: Number(answer.trimmedTo) };
      output.result({ eid, erased, trimmedTo }, `${erased} entries of ${eid} erased, up to index ${trimmedTo}`);
    });
}
