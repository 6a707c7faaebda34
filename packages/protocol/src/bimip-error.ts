import { ErrorCode } from "./gen/bimip/bimip_pb.js";

/** What a {@link BimipError} may carry beside its code and details. */
export interface BimipErrorOptions {
  /** Path of the field at fault in the names of the .proto file, such as `message.to.eid`. */
  readonly field?: string | undefined;
  /** Id of the stanza that failed. */
  readonly id?: string | undefined;
  /** What lies beneath; for logs, never sent to a client. */
  readonly cause?: unknown;
}

/** The one error of the protocol: `code` is an {@link ErrorCode}, `details` is text that a client may see. */
export class BimipError extends Error {
  override readonly name = "BimipError";
  readonly code: number;
  /** Path of the field at fault. */
  declare readonly field?: string;
  /** Id of the stanza that failed. */
  declare readonly id?: string;

  constructor(code: number, details: string, options: BimipErrorOptions = {}) {
    super(details, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.field !== undefined) this.field = options.field;
    if (options.id !== undefined) this.id = options.id;
  }

  /** The text for `ErrorMessage.details`. */
  get details(): string {
    return this.message;
  }

  /** Any thrown value as a BimipError: one stays itself, all else becomes 500 with the value as `cause` only. */
  static from(thrown: unknown): BimipError {
    if (thrown instanceof BimipError) return thrown;
    return new BimipError(ErrorCode.INTERNAL, "internal error", { cause: thrown });
  }
}
