import { call, type Procedure } from "@bimip/nats";
import { BimipError, ErrorCode } from "@bimip/protocol";
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { Gateway } from "./gateway.js";

const TIMEOUT_MS = 2_000;

/** What the router answers tells first whether it was done: 0, else an ErrorCode. */
type Coded = Message & { readonly code: number; readonly details: string };

/**
 * Asks the router once on behalf of a device. Rejects with BimipError naming the stanza: what the router says against it, 503 when nobody
 * answers; then it may have been done all the same.
 *
 * @param refusal makes the error of what the router says against it
 */
export async function askRouter<Req extends DescMessage, Answer extends Coded>(
  { link }: Pick<Gateway, "link">,
  procedure: Procedure<Req, GenMessage<Answer>>,
  request: MessageInitShape<Req>,
  id: string,
  refusal: (answer: Answer) => BimipError = ({ code, details }) => new BimipError(code, details, { id }),
): Promise<Answer> {
  // A question that is asked while NATS is away is lost, and waited for in vain.
  if (!link.up) throw new BimipError(ErrorCode.TRY_AGAIN, "NATS is away, try again", { id });
  const answer = await call(link.nc, procedure, request, TIMEOUT_MS).catch((cause: unknown) => {
    throw new BimipError(ErrorCode.TRY_AGAIN, "the router does not answer, try again", { id, cause });
  });
  if (answer.code !== 0) throw refusal(answer);
  return answer;
}
