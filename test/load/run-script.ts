/**
 * The end of each script under test/: prints the help, or does its work within its time. The process ends with 1 when the work
 * answers with false, with 2 when it is not done in time.
 */
export async function runScript(options: {
  /** Printed instead of the work; undefined: it is not asked for. */
  readonly help: string | undefined;
  readonly deadlineMs: number;
  readonly main: () => Promise<boolean>;
}): Promise<void> {
  const { help, deadlineMs, main } = options;
  const late = setTimeout(() => {
    process.stderr.write(`not done in ${deadlineMs / 60_000} minutes\n`);
    process.exit(2);
  }, deadlineMs);
  late.unref();
  if (help !== undefined) process.stdout.write(`${help}\n`);
  else process.exitCode = (await main()) ? 0 : 1;
}
