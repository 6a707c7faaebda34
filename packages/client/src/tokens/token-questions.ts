import { BimipError, ErrorCode, type TokenAuthority, TokenTask, TokenType } from "@bimip/protocol";
import { randomId } from "../random-id.js";
import { Requests, type RequestsOptions } from "../requests.js";
import { tokenFrame } from "./frames.js";
import type { Revocation, TokenCheck } from "./token-api.js";

type Question = Omit<Parameters<typeof tokenFrame>[0], "id">;

/** Questions about tokens that change nothing for this connection: VALIDATE and REVOKE. */
export class TokenQuestions {
  readonly #requests: Requests<TokenAuthority>;
  readonly #ownEid: () => string;

  constructor(options: Omit<RequestsOptions, "name">, ownEid: () => string) {
    this.#requests = new Requests({ ...options, name: "token_authority" });
    this.#ownEid = ownEid;
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#requests.underWay;
  }

  /** @param token "" = this session's */
  async validate(token: string): Promise<TokenCheck> {
    const { type, to, jti, expiresAt, details } = await this.#ask({ task: TokenTask.VALIDATE, token });
    if (type !== TokenType.RESULT) return { valid: false, details };
    const { eid = "", connectionResourceId: device = "" } = to ?? {};
    return { valid: true, eid, device, jti, expiresAt: Number(expiresAt) };
  }

  async revoke(revocation: Revocation): Promise<void> {
    const { type, details } = await this.#ask({ task: TokenTask.REVOKE, ...this.#what(revocation) });
    if (type !== TokenType.RESULT) throw new BimipError(ErrorCode.FIELD_WRONG, details || "the token is none");
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#requests.open(send);
  }

  interrupt(): void {
    this.#requests.interrupt();
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.#requests.abandon(error);
  }

  /** true if it answers a question of these. */
  take(authority: TokenAuthority): boolean {
    return this.#requests.answer(authority.id, authority);
  }

  /** An error that names a stanza. true if it was a question of these. */
  refuse(error: BimipError): boolean {
    return this.#requests.refuse(error);
  }

  async #ask(question: Question): Promise<TokenAuthority> {
    const id = randomId();
    return this.#requests.start({ id, frame: tokenFrame({ ...question, id }) });
  }

  #what({ jti, expiresAt, token, device, eid }: Revocation): Omit<Question, "task"> {
    const others = [jti, token, device ?? eid].filter((value) => value !== undefined);
    if (others.length !== 1) throw wrong("say one of jti, token, device and eid, or eid with device");
    if (expiresAt !== undefined && jti === undefined) throw wrong("expiresAt goes with jti only");
    // An empty one would mean this session's own token.
    if (others[0] === "") throw wrong("what is to be revoked is empty");
    if (jti !== undefined) return { jti, ...(expiresAt !== undefined && { expiresAt: BigInt(Math.ceil(expiresAt)) }) };
    if (token !== undefined) return { token };
    return { to: { eid: eid ?? this.#ownEid(), ...(device !== undefined && { connectionResourceId: device }) } };
  }
}

function wrong(details: string): BimipError {
  return new BimipError(ErrorCode.FIELD_WRONG, `revoke: ${details}`, { field: "revoke" });
}
