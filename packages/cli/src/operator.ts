import type { NatsConnection } from "@bimip/nats";
import { LIMITS, nameProblem } from "@bimip/protocol";
import type { Command } from "commander";
import { CliError, UsageError } from "./cli-error.js";
import { connectAsOperator, operatorAccess } from "./operator-access.js";
import type { ProgramContext } from "./program-context.js";

/** What the commands take that talk to storage, past the gateways. */
export interface OperatorOptions {
  readonly nats?: string;
  readonly dataDir?: string;
}

/** Adds the options of OperatorOptions. */
export function withOperatorOptions(command: Command): Command {
  return withNatsOption(command).option(
    "--data-dir <dir>",
    "data directory of npm start (default: BIMIP_DATA_DIR, else .bimip)",
  );
}

/** The same, where there is an option for the data directory already. */
export function withNatsOption(command: Command): Command {
  return command.option("--nats <urls>", "NATS servers (default: NATS_URL, else the one that npm start runs)");
}

/**
 * Runs `work`, which is about an account, with a connection to NATS.
 *
 * @throws UsageError for what is no EID
 * @throws CliError when there is no NATS, or storage does not answer
 */
export async function asOperator<T>(
  eid: string,
  options: OperatorOptions,
  context: ProgramContext,
  work: (nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const problem = nameProblem(eid, LIMITS.eidBytes);
  if (problem !== undefined) throw new UsageError(`<eid>: ${problem}`);
  return withNats(options, context, work);
}

/** Runs `work` with a connection to NATS. @throws CliError when there is none */
export async function withNats<T>(
  options: OperatorOptions,
  { env }: ProgramContext,
  work: (nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const { access } = await operatorAccess(options, env);
  const nc = await connectAsOperator(access);
  try {
    return await work(nc);
  } finally {
    await nc.close();
  }
}

/** A question to storage that was not answered, as the line for it. */
export function storageSilent(cause: unknown): CliError {
  return serviceSilent("storage", cause);
}

/** The same for any service. */
export function serviceSilent(name: string, cause: unknown): CliError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CliError(`${name} does not answer: ${why}`, { cause });
}
