import { CommanderError } from "commander";
import { CliError, UsageError } from "./cli-error.js";
import { createOutput } from "./output.js";
import { createProgram } from "./program.js";

const USAGE_EXIT = 2;

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const { env, stdin, stdout, stderr, argv } = process;
try {
  await createProgram({ env, stdin, stdout, stderr }).parseAsync(argv);
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT;
  } else {
    const { message, code } = CliError.from(error);
    createOutput({ json: argv.includes("--json"), stdout, stderr, env }).fail(message, code);
    process.exitCode = error instanceof UsageError ? USAGE_EXIT : 1;
  }
}
