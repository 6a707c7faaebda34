import { call, type Procedure } from "@bimip/nats";
import { BimipError, ErrorCode } from "@bimip/protocol";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Gateway } from "./gateway.js";

const TIMEOUT_MS = 2_000;

/** What the router answers tells first whether it was done: 0, else an ErrorCode. */
type Coded = { readonly code: number; readonly details: string };

/**
 * Asks the router once on behalf of a device. Rejects with BimipError naming the stanza: what the router says against it, 503 when nobody
 * answers; then it may have been done all the same.
 */
export async function askRouter<Req extends DescMessage, Res extends DescMessage>(
  { link }: Pick<Gateway, "link">,
  procedure: Procedure<Req, Res>,
  request: MessageInitShape<Req>,
  id: string,
): Promise<MessageShape<Res> & Coded> {
  // A question that is asked while NATS is away is lost, and waited for in vain.
  if (!link.up) throw new BimipError(ErrorCode.TRY_AGAIN, "NATS is away, try again", { id });
  const answer = (await call(link.nc, procedure, request, TIMEOUT_MS).catch((cause: unknown) => {
    throw new BimipError(ErrorCode.TRY_AGAIN, "the router does not answer, try again", { id, cause });
  })) as MessageShape<Res> & Coded;
  if (answer.code !== 0) throw new BimipError(answer.code, answer.details, { id });
  return answer;
}
