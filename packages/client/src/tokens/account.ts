import {
  BimipError,
  ErrorCode,
  type Logout,
  LogoutStatus,
  LogoutType,
  QueryType,
  type TokenAuthority,
} from "@bimip/protocol";
import type { BackoffOptions } from "../backoff.js";
import type { ClientEvents, ClientOptions } from "../client-options.js";
import type { Emitter } from "../emitter.js";
import type { Queries } from "../queries.js";
import { readClaims } from "./claims.js";
import { Credentials } from "./credentials.js";
import { type LogoutOptions, Logouts, type Self, toLogoutRequest } from "./logouts.js";
import { Renewal } from "./renewal.js";
import type { OpenSession, Revocation, TokenCheck } from "./token-api.js";
import { TokenQuestions } from "./token-questions.js";
import type { Heard } from "./token-saver.js";
import type { Tokens } from "./token-store.js";

/** What an account says to the link, which has the connection. */
export interface AccountLink {
  /** The session's token; "" = there is no session. */
  readonly token: string;
  /** The session goes on with another token. */
  renewed(token: string): void;
  /** The server has logged this device out. */
  loggedOut(details: string): void;
  /** The same, as this client asked. */
  leave(): void;
  /** The server refused what the next connection would begin with. */
  refuse(error: BimipError): void;
}

export interface AccountOptions {
  readonly options: Pick<ClientOptions, "token" | "refreshToken" | "device" | "connectTimeoutMs" | "closeTimeoutMs">;
  readonly events: Emitter<ClientEvents>;
  readonly queries: Queries;
  readonly backoff: BackoffOptions;
  /** Milliseconds that a question may take, waiting included. */
  readonly timeoutMs: number;
  /** The account; "" = not known. */
  readonly ownEid: () => string;
  readonly link: () => AccountLink;
  /** Throws a BimipError when the client is closed. */
  readonly check: () => void;
}

/** Who this client is to the server: its tokens, before and while it is connected, and the account's sessions. */
export class Account {
  readonly #o: AccountOptions;
  readonly credentials: Credentials;
  readonly #renewal: Renewal;
  readonly #questions: TokenQuestions;
  readonly #logouts: Logouts;

  constructor(options: AccountOptions) {
    const { events, backoff, timeoutMs, ownEid, link, check } = options;
    const { token, refreshToken, connectTimeoutMs = 10_000 } = options.options;
    const onError = (error: BimipError): void => events.emit("error", error);
    this.#o = options;
    this.credentials = new Credentials({
      token,
      refreshToken,
      timeoutMs: connectTimeoutMs,
      backoff,
      tell: (tokens) => this.#tell(tokens),
      onError,
    });
    this.#renewal = new Renewal({
      credentials: this.credentials,
      backoff,
      timeoutMs,
      ownEid,
      onToken: (renewed) => link().renewed(renewed),
      onRefused: (error) => {
        void this.credentials.forget();
        link().refuse(error);
      },
      onError,
    });
    const requests = { timeoutMs, backoff, check };
    this.#questions = new TokenQuestions(requests, ownEid);
    this.#logouts = new Logouts(
      requests,
      () => this.#self,
      () => link().leave(),
    );
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#renewal.underWay + this.#questions.underWay + this.#logouts.underWay;
  }

  /** What replaces a refresh token that was used would be lost with the connection. undefined = none is awaited. */
  get replaced(): Promise<void> | undefined {
    return this.#renewal.replaced;
  }

  async sessions(): Promise<OpenSession[]> {
    this.#o.check();
    const { sessions } = await this.#o.queries.ask({ type: QueryType.SESSIONS });
    return sessions.map(({ device, node, since, lastSeen, address, current }) => {
      return { device, node, since: Number(since), lastSeen: Number(lastSeen), address, current };
    });
  }

  /** true: this client is to end. */
  async logout(options: LogoutOptions): Promise<boolean> {
    const request = toLogoutRequest(options, this.#self);
    await this.#logouts.ask(request);
    if (request.own && request.revokes) await this.credentials.forget();
    return request.own;
  }

  async refresh(): Promise<Tokens> {
    this.#o.check();
    return this.#renewal.refresh();
  }

  revoke(revocation: Revocation): Promise<void> {
    return this.#questions.revoke(revocation);
  }

  validate(token: string): Promise<TokenCheck> {
    return this.#questions.validate(token);
  }

  /** There is a session, with the link's token. */
  open(send: (frame: Uint8Array) => void): void {
    this.#renewal.open(send, this.#o.link().token);
    this.#questions.open(send);
    this.#logouts.open(send);
  }

  interrupt(): void {
    this.#renewal.interrupt();
    this.#questions.interrupt();
    this.#logouts.interrupt();
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.#renewal.abandon(error);
    this.#questions.abandon(error);
    this.#logouts.abandon(error);
  }

  /** The server made new tokens as it opened the session. */
  took(tokens: Tokens): void {
    this.#renewal.took(tokens);
  }

  takeToken(authority: TokenAuthority): void {
    if (!this.#renewal.take(authority)) this.#questions.take(authority);
  }

  takeLogout(logout: Logout): void {
    if (this.#logouts.take(logout) || !this.#isAboutUs(logout)) return;
    // By the other types the device's tokens were revoked.
    if (logout.type !== LogoutType.SESSION) void this.credentials.forget();
    this.#o.link().loggedOut(logout.details);
    this.#o.events.emit("logout", logout);
  }

  /** true if it was about one of ours, and who waits for it knows, or it goes again. */
  refuse(error: BimipError): boolean {
    return this.#renewal.refuse(error) || this.#questions.refuse(error) || this.#logouts.refuse(error);
  }

  /** It says that this device is logged out. Not so what comes when its question was given up already. */
  #isAboutUs({ status, to }: Logout): boolean {
    const { eid, device } = this.#self;
    if (status === LogoutStatus.FAILED) return false;
    return to === undefined || (to.eid === eid && (to.connectionResourceId ?? device) === device);
  }

  /** The token that the session has, or the client was made with, says which device this is. */
  get #self(): Self {
    const { token, device = "" } = this.#o.options;
    const own = this.#o.link().token || (typeof token === "string" ? token : "");
    return { eid: this.#o.ownEid(), device: readClaims(own).device ?? device };
  }

  #tell(tokens: Tokens): Promise<Heard> {
    const { events } = this.#o;
    if (!events.has("tokens")) return Promise.resolve("unheard");
    return new Promise((resolve) => {
      events.deliver("tokens", tokens, (taken) => resolve(taken ? "taken" : "failed"));
    });
  }
}

/** Throws a BimipError 422 where there is nothing to authenticate with. */
export function checkTokens({ token, refreshToken }: Pick<ClientOptions, "token" | "refreshToken">): void {
  if (token || refreshToken) return;
  throw new BimipError(ErrorCode.FIELD_WRONG, "token: is missing, and there is no refreshToken", { field: "token" });
}
