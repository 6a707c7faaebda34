import { BimipError } from "@bimip/protocol";

/** What a user is told in one line; the process ends with 1. */
export class CliError extends Error {
  override readonly name: string = "CliError";
  /** The protocol's code, where the server or the SDK said one. */
  readonly code: number | undefined;

  constructor(message: string, options: { cause?: unknown; code?: number } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }

  /** Any thrown value as the line that is shown for it. */
  static from(thrown: unknown): CliError {
    if (thrown instanceof CliError) return thrown;
    if (thrown instanceof BimipError)
      return new CliError(`${thrown.code} ${thrown.details}`, { cause: thrown, code: thrown.code });
    return new CliError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
  }
}

/** The command line says too little; the process ends with 2, as for all wrong usage. */
export class UsageError extends CliError {
  override readonly name = "UsageError";
}
