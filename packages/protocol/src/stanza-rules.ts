import * as check from "./field-checks.js";
import { type Check, type Problem, problem } from "./field-checks.js";
import {
  type Awareness,
  type AwarenessContact,
  AwarenessStatusSchema,
  AwarenessType,
  AwarenessTypeSchema,
  AwarenessStatus,
  ContactAction,
  ContactActionSchema,
  ContactRelationshipSchema,
  LocationSharingSchema,
  LogoutStatus,
  LogoutStatusSchema,
  LogoutTypeSchema,
  PingPongTypeSchema,
  QueryType,
  QueryTypeSchema,
  type Query,
  type Signal,
  SignalStatus,
  SignalStatusSchema,
  SignalType,
  SignalTypeSchema,
  TokenTask,
  TokenTaskSchema,
  TokenType,
  TokenTypeSchema,
  type TokenAuthority,
  VisibilitySchema,
} from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import type { StanzaKind, StanzaValue } from "./stanza.js";

type FieldName<M> = Exclude<keyof M, "$typeName" | "$unknown">;

/** The rules of one stanza as a client sends it: one check for every field, tried in this order, then the whole. */
export interface StanzaRules<M> {
  readonly fields: { readonly [F in FieldName<M>]-?: Check<M[F]> };
  /** What depends on several fields. */
  readonly whole?: Check<M>;
}

/** Why a client may not send a kind at all. */
export interface ServerOnly {
  readonly serverOnly: true;
}

const SERVER_ONLY: ServerOnly = { serverOnly: true };

// Message and PushNotification have the same fields.
const messageFields: StanzaRules<StanzaValue<"message">>["fields"] &
  StanzaRules<StanzaValue<"pushNotification">>["fields"] = {
  id: check.id,
  from: check.optionalIdentity,
  to: check.identity,
  type: check.optionalLabel,
  timestamp: check.timestamp,
  payload: check.payload,
  ack: check.ack,
  metadata: check.metadata,
  monotonicId: check.anything,
  previousId: check.anything,
};

/** The rules of every stanza kind: the one place where they stand. */
export const STANZA_RULES: { readonly [K in StanzaKind]: StanzaRules<StanzaValue<K>> | ServerOnly } = {
  message: { fields: messageFields },
  pushNotification: { fields: messageFields },
  signal: {
    fields: {
      id: check.optionalId,
      from: check.optionalIdentity,
      to: check.optionalIdentity,
      type: check.code(SignalTypeSchema, { fromClient: [SignalType.REQUEST] }),
      status: check.code(SignalStatusSchema, {
        fromClient: SignalStatusSchema.values.map((v) => v.number).filter((n) => n !== SignalStatus.SENT),
      }),
      timestamp: check.timestamp,
      monotonicId: check.int64From(-1n),
      logId: check.anything,
      previousId: check.anything,
      details: check.anything,
      firstId: check.anything,
      epoch: check.anything,
    },
    whole: signalProblem,
  },
  awareness: {
    fields: {
      id: check.optionalId,
      from: check.optionalIdentity,
      to: check.optionalIdentity,
      type: check.code(AwarenessTypeSchema),
      status: check.int32From(0),
      locationSharing: check.code(LocationSharingSchema),
      latitude: check.latitude,
      longitude: check.longitude,
      ttl: check.int32From(0),
      details: check.textUpTo(LIMITS.detailsBytes),
      timestamp: check.timestamp,
      visibility: check.code(VisibilitySchema, { optional: true }),
    },
    whole: awarenessProblem,
  },
  awarenessContact: {
    fields: {
      from: check.optionalIdentity,
      to: check.optionalIdentity,
      trackingId: check.optionalId,
      relationship: check.code(ContactRelationshipSchema, { optional: true }),
      action: check.code(ContactActionSchema, {
        fromClient: ContactActionSchema.values
          .map((v) => v.number)
          .filter((n) => n !== ContactAction.REMOVED && n !== ContactAction.ERROR),
      }),
      timestamp: check.timestamp,
      details: check.textUpTo(LIMITS.detailsBytes),
      locationPrecisionM: check.int32From(-1),
    },
    whole: contactProblem,
  },
  awarenessVisibility: {
    fields: {
      id: check.optionalId,
      from: check.optionalIdentity,
      type: check.code(VisibilitySchema),
      timestamp: check.timestamp,
      details: check.anything,
    },
  },
  pingPong: {
    fields: {
      id: check.optionalId,
      from: check.optionalIdentity,
      type: check.code(PingPongTypeSchema),
      timestamp: check.timestamp,
      details: check.anything,
    },
  },
  tokenAuthority: {
    fields: {
      to: check.optionalIdentity,
      token: check.textUpTo(LIMITS.tokenBytes),
      type: check.code(TokenTypeSchema, { fromClient: [TokenType.REQUEST] }),
      task: check.code(TokenTaskSchema),
      timestamp: check.timestamp,
      details: check.anything,
      refreshToken: check.textUpTo(LIMITS.tokenBytes),
      expiresAt: check.timestamp,
      id: check.optionalId,
      jti: check.textUpTo(LIMITS.tokenBytes),
    },
    whole: tokenProblem,
  },
  logout: {
    fields: {
      to: check.optionalIdentity,
      type: check.code(LogoutTypeSchema),
      status: check.code(LogoutStatusSchema, { fromClient: [LogoutStatus.INITIATED] }),
      timestamp: check.timestamp,
      details: check.anything,
    },
  },
  locationStream: {
    fields: {
      id: check.optionalId,
      from: check.optionalIdentity,
      to: check.optionalIdentity,
      latitude: check.latitude,
      longitude: check.longitude,
      altitude: check.optionalFinite,
      timestamp: check.timestamp,
    },
  },
  event: {
    fields: {
      id: check.id,
      from: check.optionalIdentity,
      to: check.identity,
      type: check.label,
      timestamp: check.timestamp,
      data: check.anything,
      ttl: check.int32From(0),
      logId: check.anything,
      previousId: check.anything,
    },
  },
  query: {
    fields: {
      id: check.id,
      type: check.code(QueryTypeSchema),
      with: check.optionalIdentity,
      before: check.int64From(0n),
      after: check.int64From(0n),
      limit: check.numberBetween(0, LIMITS.pageItems),
      data: check.anything,
    },
    whole: queryProblem,
  },
  error: SERVER_ONLY,
  body: SERVER_ONLY,
  page: SERVER_ONLY,
};

function signalProblem(signal: Signal): Problem | undefined {
  const hasTarget = signal.to !== undefined && signal.to.eid !== "";
  switch (signal.status) {
    case SignalStatus.RESUME:
      return undefined;
    case SignalStatus.TYPING:
    case SignalStatus.RECORDING:
      return hasTarget ? undefined : problem("is missing", "to.eid");
    default:
      // A receipt names a message (id, to), or an index of one's own log, or both.
      if (signal.monotonicId < 0n) return problem(`is ${signal.monotonicId}, must be at least 0`, "monotonic_id");
      if (signal.monotonicId > 0n || (signal.id !== "" && hasTarget)) return undefined;
      return problem("is missing", signal.id === "" ? "id" : "to.eid");
  }
}

function awarenessProblem(awareness: Awareness): Problem | undefined {
  const { type, status } = awareness;
  if (status === 0) return problem("is missing", "status");
  if (type === AwarenessType.PRESENCE && status > AwarenessStatus.DND) {
    const presences = AwarenessStatusSchema.values.filter((v) => v.number >= 1 && v.number <= AwarenessStatus.DND);
    const choices = presences.map((v) => `${v.number} ${v.localName}`).join(", ");
    return problem(`is ${status}, must be one of ${choices} for type 1 PRESENCE`, "status");
  }
  if (type === AwarenessType.STATUS && status <= AwarenessStatus.DND) {
    return problem(`is ${status}, must be 6 or more for type 2 STATUS`, "status");
  }
  return undefined;
}

function contactProblem(contact: AwarenessContact): Problem | undefined {
  if (contact.action === ContactAction.LIST) return undefined;
  if (contact.to === undefined || contact.to.eid === "") return problem("is missing", "to.eid");
  if (contact.action === ContactAction.REQUEST && contact.relationship === 0) {
    return problem("is missing", "relationship");
  }
  return undefined;
}

function tokenProblem(authority: TokenAuthority): Problem | undefined {
  const needsToken = authority.task === TokenTask.AUTHENTICATE;
  return needsToken && authority.token === "" ? problem("is missing", "token") : undefined;
}

function queryProblem(query: Query): Problem | undefined {
  const needsData = query.type === QueryType.PUSH_SUBSCRIBE;
  if (needsData && query.data.length === 0) return problem("is missing", "data");
  return query.before > 0n && query.after > 0n ? problem("is set beside before", "after") : undefined;
}
