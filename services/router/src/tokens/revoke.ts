import { type CasBucket, type RevocationRecord, revocationKeys, sessionKey } from "@bimip/nats";
import { ErrorCode, LIMITS, nameProblem, type RevokeRequest, type RevokeResponseSchema } from "@bimip/protocol";
import type { Logger } from "@bimip/runtime";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FamilyStore } from "./family-store.js";
import type { TokenMetrics } from "./metrics.js";
import type { RevocationStore } from "./revocation-store.js";
import { wholeSeconds } from "./whole-seconds.js";
import type { TokenConfig } from "./token-config.js";

export interface RevokerOptions {
  readonly store: RevocationStore;
  readonly families: FamilyStore;
  /** Of awareness: which devices were ever seen; as its leader has it. */
  readonly registry: Pick<CasBucket, "read">;
  readonly config: TokenConfig;
  readonly metrics: TokenMetrics;
  readonly logger: Pick<Logger, "info">;
}

type Answer = MessageInitShape<typeof RevokeResponseSchema>;

/** Whoever tells of a token's id may tell a long one, but none that fits into no token. */
const MAX_JTI_BYTES = LIMITS.tokenBytes;

/** Stores what is to be refused. Gateways hear of it through the bucket. */
export class Revoker {
  readonly #o: RevokerOptions;

  constructor(options: RevokerOptions) {
    this.#o = options;
  }

  /** Answers a RevokeRequest once it is stored. Rejects when NATS does not answer. */
  async handle(request: RevokeRequest): Promise<Answer> {
    const revision = await this.#revoke(request);
    return typeof revision === "number" ? { revision: BigInt(revision) } : revision;
  }

  /** Refuses the device's tokens up to this second, its refresh tokens too. @returns a revision at which it was stored */
  device(eid: string, device: string, by: string): Promise<number> {
    return this.#holder("device", revocationKeys.device(eid, device), { eid, device, by });
  }

  async #revoke({ what, expiresAt, by, seenOnly }: RevokeRequest): Promise<number | Answer> {
    if (what.case === "jti") return jtiProblem(what.value) ?? this.#jti(what.value, Number(expiresAt), by);
    if (what.case === "eid") {
      const eid = what.value;
      const problem = nameRefusal("eid", eid, LIMITS.eidBytes);
      return problem ?? this.#holder("user", revocationKeys.user(eid), { eid, device: undefined, by });
    }
    if (what.case === undefined) return wrong("what", "is missing");
    const { eid, device } = what.value;
    const problem =
      nameRefusal("device.eid", eid, LIMITS.eidBytes) ?? nameRefusal("device.device", device, LIMITS.deviceBytes);
    if (problem !== undefined) return problem;
    if (seenOnly && !(await this.#wasSeen(eid, device))) return NEVER_SEEN;
    return this.device(eid, device, by);
  }

  async #wasSeen(eid: string, device: string): Promise<boolean> {
    return (await this.#o.registry.read(sessionKey(eid, device))) !== undefined;
  }

  async #jti(jti: string, expiresAtMs: number, by: string): Promise<number> {
    const { maxLifetimeS, skewS } = this.#o.config;
    const nowMs = Date.now();
    // Refused by everyone already.
    if (expiresAtMs > 0 && expiresAtMs + skewS * 1_000 <= nowMs) return 0;
    const atS = wholeSeconds();
    // Its issuer's clock may be ahead.
    const untilMs = expiresAtMs > 0 ? expiresAtMs : endOfLives(atS + skewS, maxLifetimeS);
    const key = revocationKeys.jti(jti);
    const record = { atS, untilMs, by };
    const revision = await this.#o.store.add(key, record);
    this.#note("jti", key, record, {});
    return revision;
  }

  async #holder(
    what: "device" | "user",
    key: string,
    { eid, device, by }: { eid: string; device: string | undefined; by: string },
  ): Promise<number> {
    const { families, store, config } = this.#o;
    const recordOf = (atS: number): RevocationRecord => ({ atS, untilMs: untilMsOf(atS, config), by });
    // Before: what begins after the revocation may stay. What begins between is not newer than the revocation.
    await families.end(eid, device);
    const record = recordOf(wholeSeconds());
    const revision = await store.add(key, record);
    this.#note(what, key, record, { eid, device });
    const doneS = wholeSeconds();
    // A refresh that found nothing revoked yet may have made a token in the second that has begun since.
    return doneS > record.atS ? store.add(key, recordOf(doneS)) : revision;
  }

  #note(what: string, key: string, { by, untilMs }: RevocationRecord, of: object): void {
    this.#o.metrics.revocations.inc({ what });
    this.#o.logger.info({ revoked: { what, key, by, untilMs, ...of } }, "revoked");
  }
}

const NEVER_SEEN: Answer = {
  code: ErrorCode.UNKNOWN,
  details: "device.device: no device of this name was ever seen",
};

/** When everything has expired that was made up to that second: access tokens, and refresh tokens that make new ones. */
function untilMsOf(atS: number, { maxLifetimeS, refreshLifetimeS, signingKeyFiles }: TokenConfig): number {
  if (maxLifetimeS === 0) return 0;
  return endOfLives(atS, signingKeyFiles.length === 0 ? maxLifetimeS : Math.max(maxLifetimeS, refreshLifetimeS));
}

/** When the last token of that second has expired, epoch milliseconds; 0 = nobody knows. Both times in a token may have fractions. */
function endOfLives(issuedAtS: number, maxLifetimeS: number): number {
  return maxLifetimeS === 0 ? 0 : (issuedAtS + 1 + maxLifetimeS) * 1_000;
}

function jtiProblem(jti: string): Answer | undefined {
  if (jti === "") return wrong("jti", "is missing");
  const bytes = Buffer.byteLength(jti);
  return bytes > MAX_JTI_BYTES ? wrong("jti", `is too long: ${bytes} bytes, at most ${MAX_JTI_BYTES}`) : undefined;
}

function nameRefusal(field: string, name: string, maxBytes: number): Answer | undefined {
  const problem = nameProblem(name, maxBytes);
  return problem === undefined ? undefined : wrong(field, problem);
}

function wrong(field: string, problem: string): Answer {
  return { code: ErrorCode.FIELD_WRONG, details: `${field}: ${problem}` };
}
