import {
  encodeStanza,
  type Logout,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
  PageSchema,
  type Query,
  QueryType,
  type Stanza,
  type TokenAuthority,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { WebSocket } from "ws";
import { errorFrame, type Refusal } from "./fake-frames.js";
import type { FakeSession } from "./fake-session.js";
import { type FakeClaims, fakeToken, readFakeToken } from "./fake-tokens.js";

/** What becomes of a question about tokens: done and answered, done but unanswered, refused by a type 3 of these words, or an error. */
export type TokenFate = "answer" | "ignore" | { readonly error: string } | Refusal;

type Init = MessageInitShape<typeof TokenAuthoritySchema>;

/** A refresh token that may be used: the newest, and the one before it. */
interface Family {
  generation: number;
  scope: string;
}

/** Tokens, their renewal and revocation, logout and the list of sessions at the fake. */
export class FakeAccount {
  readonly #sessions: ReadonlySet<FakeSession>;
  readonly #families = new Map<string, Family>();
  readonly #expiries = new Map<FakeSession, ReturnType<typeof setTimeout>>();
  /** Devices (`eid/device`), accounts and ids of tokens that are refused, each with the time (epoch ms). */
  readonly revoked = new Map<string, number>();
  /** Every TokenAuthority and Logout that came, first frames included. */
  readonly asked: TokenAuthority[] = [];
  readonly logouts: Logout[] = [];
  /** Of access tokens that REFRESH makes. */
  lifetimeMs = 60_000;
  fate: (authority: TokenAuthority) => TokenFate = () => "answer";
  /** answer: done, told, and closed; ignore: done and closed without a word; an error without an id; or FAILED with these words. */
  logoutFate: (logout: Logout) => "answer" | "ignore" | { readonly failed: string } | Refusal = () => "answer";

  constructor(sessions: ReadonlySet<FakeSession>) {
    this.#sessions = sessions;
  }

  /** The session has that token from now on. */
  arm(session: FakeSession, token: string): void {
    clearTimeout(this.#expiries.get(session));
    session.token = token;
    const { expiresAtMs } = readFakeToken(token);
    if (expiresAtMs === undefined) return;
    const expire = (): void => {
      session.socket.send(errorFrame({ code: 401, details: "the token expired" }, ""));
      session.socket.close(4401, "token expired");
    };
    this.#expiries.set(session, setTimeout(expire, expiresAtMs - Date.now()));
  }

  end(session: FakeSession): void {
    clearTimeout(this.#expiries.get(session));
    this.#expiries.delete(session);
  }

  /** Why a token lets nobody in; undefined: it does. */
  problem(token: string): string | undefined {
    if (token.startsWith("bad")) return "token: the signature is wrong";
    const { eid, device, expiresAtMs, jti = "" } = readFakeToken(token);
    if (expiresAtMs !== undefined && expiresAtMs <= Date.now()) return "exp: the token has expired";
    const issuedAtMs = issuedAtMsOf(token);
    const isRevoked = [eid, `${eid}/${device}`].some((name) => issuedAtMs <= (this.revoked.get(name) ?? -1));
    return isRevoked || this.revoked.has(jti) ? "token: was revoked" : undefined;
  }

  /** The first frame of a connection; answers with the token that its session begins with. */
  first(socket: WebSocket, authority: TokenAuthority): string | undefined {
    this.asked.push(authority);
    const fate = this.fate(authority);
    const refuse = (details: string): undefined => {
      socket.send(answer(authority, { type: TokenType.ERROR, details }));
      socket.close(4401, "token");
    };
    if (isRefusal(fate)) {
      socket.send(errorFrame(fate, authority.id));
      return undefined;
    }
    if (typeof fate === "object") return refuse(fate.error);
    if (authority.task === TokenTask.AUTHENTICATE) {
      const problem = this.problem(authority.token);
      if (problem !== undefined) {
        socket.send(errorFrame({ code: 401, details: problem }, authority.id));
        socket.close(4401, "token");
        return undefined;
      }
      socket.send(answer(authority, { type: TokenType.RESULT }));
      return authority.token;
    }
    const made = this.#rotate(authority.refreshToken);
    if (typeof made === "string") return refuse(made);
    if (fate === "ignore") {
      socket.terminate();
      return undefined;
    }
    socket.send(answer(authority, { type: TokenType.RESULT, ...made }));
    return made.token;
  }

  /** true if it was for this. */
  take(session: FakeSession, { kind, value }: Stanza): boolean {
    if (kind === "tokenAuthority") {
      this.asked.push(value);
      this.#onToken(session, value);
    } else if (kind === "logout") {
      this.logouts.push(value);
      this.#onLogout(session, value);
    } else return false;
    return true;
  }

  /** The page that lists the open sessions of an account. */
  page(session: FakeSession, { id }: Query): Uint8Array {
    const sessions = [...this.#sessions]
      .filter(({ eid }) => eid === session.eid)
      .map((open) => {
        const { device } = open;
        const [since, lastSeen] = [BigInt(1_000), BigInt(Date.now())];
        return { device, node: "fake", since, lastSeen, address: "127.0.0.1", current: open === session };
      });
    return encodeStanza("page", create(PageSchema, { id, sessions, done: true }));
  }

  static isSessions({ type }: Query): boolean {
    return type === QueryType.SESSIONS;
  }

  /** Refuses tokens of up to now, and ends their sessions: a whole account, or one device of it. */
  revoke(eid: string, device = "", except?: FakeSession): void {
    this.revoked.set(device === "" ? eid : `${eid}/${device}`, Date.now());
    for (const name of this.#families.keys()) {
      if (name === `${eid}/${device}` || (device === "" && name.startsWith(`${eid}/`))) this.#families.delete(name);
    }
    for (const session of this.#sessions) {
      if (session === except || session.eid !== eid || (device !== "" && session.device !== device)) continue;
      const type = device === "" ? LogoutType.ACCOUNT : LogoutType.DEVICE;
      this.logOut(session, type, "the tokens were revoked");
      session.socket.close(4401, "token revoked");
    }
  }

  /** Tells a device that it is logged out. */
  logOut({ socket, eid, device }: FakeSession, type: LogoutType, details = ""): void {
    const to = { eid, connectionResourceId: device, node: "fake" };
    socket.send(encodeStanza("logout", create(LogoutSchema, { to, type, status: LogoutStatus.SUCCESS, details })));
  }

  #onToken(session: FakeSession, authority: TokenAuthority): void {
    const { socket } = session;
    const fate = this.fate(authority);
    if (isRefusal(fate)) return socket.send(errorFrame(fate, authority.id));
    const told = this.#do(session, authority, typeof fate === "object" ? fate.error : undefined);
    if (fate !== "ignore") socket.send(answer(authority, told));
    if (authority.task === TokenTask.REVOKE) this.#endRevoked();
  }

  /** @param error what it is refused with */
  #do(session: FakeSession, authority: TokenAuthority, error: string | undefined): Init {
    const refused = (details: string): Init => ({ type: TokenType.ERROR, details });
    if (error !== undefined) return refused(error);
    const { task, token, refreshToken, jti, to } = authority;
    switch (task) {
      case TokenTask.AUTHENTICATE: {
        const problem = this.problem(token);
        if (problem !== undefined) return refused(problem);
        this.arm(session, token);
        return { type: TokenType.RESULT };
      }
      case TokenTask.REFRESH: {
        const made = refreshToken === "" ? this.#begin(session) : this.#rotate(refreshToken);
        if (typeof made === "string") return refused(made);
        this.arm(session, made.token);
        return { type: TokenType.RESULT, ...made };
      }
      case TokenTask.VALIDATE: {
        const asked = token === "" ? session.token : token;
        const problem = this.problem(asked);
        if (problem !== undefined) return refused(problem);
        return { type: TokenType.RESULT, ...validOf(readFakeToken(asked)) };
      }
      default:
        if (to !== undefined) this.revoke(to.eid, to.connectionResourceId);
        else this.revoked.set(jti === "" ? (readFakeToken(token).jti ?? "") : jti, Date.now());
        return { type: TokenType.RESULT };
    }
  }

  #begin({ eid, device, token }: FakeSession): ReturnType<FakeAccount["made"]> {
    const scope = readFakeToken(token).scope ?? "";
    const family = { generation: 1, scope };
    this.#families.set(`${eid}/${device}`, family);
    return this.made(eid, device, family);
  }

  #rotate(refreshToken: string): ReturnType<FakeAccount["made"]> | string {
    const { eid, device, generation } = readFakeToken(refreshToken);
    const family = this.#families.get(`${eid}/${device}`);
    if (family === undefined) return "refresh_token: was revoked";
    if (generation === family.generation) family.generation++;
    // The one before is answered with the newest again.
    else if (generation !== family.generation - 1) return "refresh_token: was used before";
    return this.made(eid, device, family);
  }

  /** Tokens of a family, as a backend hands them out at a login. */
  login(eid: string, device: string): { readonly token: string; readonly refreshToken: string } {
    const family = { generation: 1, scope: "refresh" };
    this.#families.set(`${eid}/${device}`, family);
    return this.made(eid, device, family);
  }

  made(eid: string, device: string, { generation, scope }: Family) {
    const token = fakeToken(eid, device, this.lifetimeMs, { scope });
    const refreshToken = fakeToken(eid, device, 86_400_000, { generation });
    const expiresAt = BigInt(Math.floor(readFakeToken(token).expiresAtMs ?? 0));
    return { token, refreshToken, expiresAt, to: { eid } };
  }

  #endRevoked(): void {
    for (const { token, socket } of this.#sessions) {
      const problem = this.problem(token);
      if (problem === undefined) continue;
      socket.send(errorFrame({ code: 401, details: problem }, ""));
      socket.close(4401, "token revoked");
    }
  }

  #onLogout(session: FakeSession, logout: Logout): void {
    const { socket } = session;
    const fate = this.logoutFate(logout);
    if (isRefusal(fate)) return socket.send(errorFrame(fate, ""));
    const { type } = logout;
    const eid = logout.to?.eid || session.eid;
    const device = logout.to?.connectionResourceId ?? session.device;
    const to = type === LogoutType.ACCOUNT ? { eid } : { eid, connectionResourceId: device };
    const told = (init: MessageInitShape<typeof LogoutSchema>): void =>
      socket.send(encodeStanza("logout", create(LogoutSchema, { to, type, ...init })));
    if (typeof fate === "object") return told({ status: LogoutStatus.FAILED, details: fate.failed });
    const isOwn = eid === session.eid && (type === LogoutType.ACCOUNT || device === session.device);
    if (type === LogoutType.SESSION) {
      const open = [...this.#sessions].find((other) => other.eid === eid && other.device === device);
      if (open === undefined) return told({ status: LogoutStatus.FAILED, details: "404: no such session is open" });
      if (open !== session) {
        this.logOut(open, type);
        open.socket.close(4401, "logged out");
      }
    } else this.revoke(eid, type === LogoutType.ACCOUNT ? "" : device, session);
    if (fate === "answer") told({ status: LogoutStatus.SUCCESS });
    if (isOwn && fate === "ignore") return socket.terminate();
    if (isOwn) socket.close(1000, "logged out");
  }
}

function answer({ id, task }: TokenAuthority, init: Init): Uint8Array {
  return encodeStanza("tokenAuthority", create(TokenAuthoritySchema, { id, task, ...init }));
}

function validOf({ eid, device, expiresAtMs = 0, jti = "" }: FakeClaims): Init {
  return { to: { eid, connectionResourceId: device }, expiresAt: BigInt(Math.floor(expiresAtMs)), jti };
}

function issuedAtMsOf(token: string): number {
  if (token.includes("/")) return Number.POSITIVE_INFINITY;
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return Number((claims as { iat?: number }).iat) * 1_000;
}

function isRefusal(fate: unknown): fate is Refusal {
  return typeof fate === "number" || (typeof fate === "object" && fate !== null && "code" in fate);
}
