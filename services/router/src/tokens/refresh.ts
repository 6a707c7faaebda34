import { AuthError, type RefreshClaims, SCOPES } from "@bimip/auth";
import { type RefreshFamily, WAS_REVOKED } from "@bimip/nats";
import { ErrorCode, LIMITS, nameProblem, type RefreshRequest, type RefreshResponseSchema } from "@bimip/protocol";
import type { Logger } from "@bimip/runtime";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { randomUUID } from "node:crypto";
import type { FamilyStore } from "./family-store.js";
import type { TokenMetrics } from "./metrics.js";
import type { RevocationStore } from "./revocation-store.js";
import type { Revoker } from "./revoke.js";
import type { Signing } from "./signing.js";
import { untilWritten } from "./token-bucket.js";
import type { TokenConfig } from "./token-config.js";
import { wholeSeconds } from "./whole-seconds.js";

export interface RefresherOptions {
  /** undefined: this broker renews no tokens. */
  readonly signing: Signing | undefined;
  readonly families: FamilyStore;
  readonly revocations: RevocationStore;
  readonly revoker: Revoker;
  readonly config: TokenConfig;
  readonly metrics: TokenMetrics;
  readonly logger: Pick<Logger, "info" | "warn">;
}

type Answer = MessageInitShape<typeof RefreshResponseSchema>;

/** How it went; a label of the metric. */
type Outcome = "begun" | "rotated" | "repeated" | "reused" | "revoked" | "refused" | "off";

/** A refusal, as the device is told it. */
class Refusal {
  readonly outcome: Outcome;
  readonly code: number;
  readonly details: string;
  /** Who showed a token of ours; undefined: nobody did. */
  readonly holder: Holder | undefined;

  constructor(outcome: Outcome, code: number, details: string, holder?: Holder) {
    this.outcome = outcome;
    this.code = code;
    this.details = details;
    this.holder = holder;
  }

  of({ eid, device }: Holder): Refusal {
    return new Refusal(this.outcome, this.code, this.details, { eid, device });
  }
}

/** Of which generation of a family tokens are to be made, or why none are. */
type Decision = { readonly outcome: Outcome; readonly family: RefreshFamily } | Refusal;

/** For whom. */
interface Holder {
  readonly eid: string;
  readonly device: string;
}

/** Makes new tokens: for who shows the newest refresh token of a device's family, or begins one. */
export class Refresher {
  readonly #o: RefresherOptions;

  constructor(options: RefresherOptions) {
    this.#o = options;
  }

  /** Answers a RefreshRequest. Rejects when NATS does not answer: then the old refresh token may be used up, and is answered again. */
  async handle(request: RefreshRequest): Promise<Answer> {
    const { signing, metrics } = this.#o;
    const answer = signing === undefined ? NO_KEY : await this.#make(signing, request);
    if (!(answer instanceof Refusal)) return answer;
    metrics.refreshes.inc({ outcome: answer.outcome });
    return { code: answer.code, details: answer.details, ...answer.holder };
  }

  async #make(signing: Signing, request: RefreshRequest): Promise<Answer | Refusal> {
    if (request.refreshToken === "") return this.#begin(signing, request);
    const claims = readToken(signing, request.refreshToken);
    if (claims instanceof Refusal) return claims;
    const { eid, device } = claims;
    // Before anything is used up.
    if (!isAskedFor(request, claims)) return (request.eid === "" ? refused(OTHER_DEVICE) : OTHER_SESSION).of(claims);
    // Taken before revocations are read: a revocation that is written meanwhile refuses this token.
    const nowS = wholeSeconds();
    const decision = await untilWritten(() => this.#rotate(claims));
    if (decision instanceof Refusal) return decision.of(claims);
    return this.#answer(signing, { eid, device }, decision, nowS);
  }

  /** A session begins a family for its device; an older one of the device ends. */
  async #begin(signing: Signing, request: RefreshRequest): Promise<Answer | Refusal> {
    const { eid, device, name } = request;
    // Who may do everything shows that anew each time: a family lives as long as it is used.
    const scopes = request.scopes.filter((scope) => scope !== SCOPES.admin);
    const problem = nameProblem(eid, LIMITS.eidBytes) ?? nameProblem(device, LIMITS.deviceBytes);
    if (problem !== undefined) return new Refusal("refused", ErrorCode.FIELD_WRONG, `eid or device: ${problem}`);
    const { families, revocations, config } = this.#o;
    const issuedAtS = Number(request.issuedAtS);
    // The issuer's clock may be ahead of ours: what comes of a token counts as not older than it.
    const startedS = Math.max(wholeSeconds(), issuedAtS);
    const revokedAtS = await revocations.lastAtS(eid, device);
    if (revokedAtS !== undefined && issuedAtS <= revokedAtS) return revoked("token").of({ eid, device });
    const family: RefreshFamily = {
      family: randomUUID(),
      generation: 1,
      startedS,
      rotatedMs: Date.now(),
      expiresAtMs: expiryOf(config),
      scopes,
      name,
    };
    await untilWritten(async () => families.write(eid, device, family, await families.read(eid, device)));
    this.#o.logger.info({ eid, device, scopes }, "a family of refresh tokens begins");
    return this.#answer(signing, { eid, device }, { outcome: "begun", family }, startedS);
  }

  /** undefined = somebody else used the token at the same time. */
  async #rotate(claims: RefreshClaims): Promise<Decision | undefined> {
    const { families, revocations, config } = this.#o;
    const { eid, device, generation } = claims;
    const [kept, revokedAtS] = await Promise.all([families.read(eid, device), revocations.lastAtS(eid, device)]);
    const family = kept?.record;
    // A revocation takes the family away.
    if (family === undefined && revokedAtS !== undefined) return revoked("refresh_token");
    if (family === undefined || family.family !== claims.family)
      return refused("refresh_token: was ended, or the device began anew: log in again");
    if (revokedAtS !== undefined && family.startedS <= revokedAtS) return revoked("refresh_token");
    const nowMs = Date.now();
    if (isRepeat(family, generation, nowMs - config.graceMs)) return { outcome: "repeated", family };
    if (generation < family.generation) return this.#reused(claims);
    // A later one than we know of was made by us, too: NATS lost what it had not written to disk.
    const next = { ...family, generation: generation + 1, rotatedMs: nowMs, expiresAtMs: expiryOf(config) };
    const revision = await families.write(eid, device, next, kept);
    return revision === undefined ? undefined : { outcome: "rotated", family: next };
  }

  /** It is in two hands, and nobody can tell whose: all that came of it ends. */
  async #reused({ eid, device }: Holder): Promise<Refusal> {
    await this.#o.revoker.device(eid, device, "reuse");
    this.#o.logger.warn({ eid, device }, "a refresh token was used a second time: the device's tokens are revoked");
    const details = "refresh_token: was used before, so all tokens of this device were revoked: log in again";
    return new Refusal("reused", ErrorCode.NOT_AUTHENTICATED, details);
  }

  async #answer(
    signing: Signing,
    { eid, device }: Holder,
    { outcome, family }: Exclude<Decision, Refusal>,
    nowS: number,
  ): Promise<Answer> {
    const { scopes, name, generation, expiresAtMs, startedS } = family;
    // Replicas' clocks differ: a token is not older than its family.
    const access = { eid, device, scopes, name, issuedAtS: Math.max(nowS, startedS) };
    const { token, expiresAtMs: expiresAt } = await signing.accessToken(access);
    const refreshToken = await signing.refreshToken({ eid, device, family: family.family, generation, expiresAtMs });
    this.#o.metrics.refreshes.inc({ outcome });
    return { token, refreshToken, expiresAt: BigInt(expiresAt), eid, device };
  }
}

const NO_KEY = new Refusal(
  "off",
  ErrorCode.NOT_ALLOWED,
  "token_authority.task: 1 REFRESH is not to be had here: this broker has no signing key",
);
const OTHER_SESSION = new Refusal(
  "refused",
  ErrorCode.NOT_ALLOWED,
  "token_authority.refresh_token: is not of this session's account and device",
);
const OTHER_DEVICE = "refresh_token: is not of the device asked for";

/** Its successor was made a short time ago, and was not used: perhaps nobody got it. */
function isRepeat(family: RefreshFamily, generation: number, sinceMs: number): boolean {
  return generation === family.generation - 1 && family.rotatedMs >= sinceMs;
}

function readToken(signing: Signing, refreshToken: string): RefreshClaims | Refusal {
  try {
    return signing.read(refreshToken);
  } catch (error) {
    if (error instanceof AuthError) return refused(`refresh_token: ${error.details}`);
    throw error;
  }
}

/** Absent in the question: the connection has not authenticated, or named no device. */
function isAskedFor({ eid, device }: RefreshRequest, claims: RefreshClaims): boolean {
  return (eid === "" || eid === claims.eid) && (device === "" || device === claims.device);
}

function refused(details: string): Refusal {
  return new Refusal("refused", ErrorCode.NOT_AUTHENTICATED, details);
}

function revoked(field: string): Refusal {
  return new Refusal("revoked", ErrorCode.NOT_AUTHENTICATED, `${field}: ${WAS_REVOKED}`);
}

function expiryOf({ refreshLifetimeS }: TokenConfig): number {
  return Date.now() + refreshLifetimeS * 1_000;
}
