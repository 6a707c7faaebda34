import { BimipError } from "./bimip-error.js";
import type { Check } from "./field-checks.js";
import { ErrorCode } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { nameProblem } from "./names.js";
import { STANZA_SHAPES, type Stanza, stanzaId, type StanzaKind, stanzaName } from "./stanza.js";
import { STANZA_RULES } from "./stanza-rules.js";

interface FieldRule {
  readonly localName: string;
  readonly name: string;
  readonly check: Check<unknown>;
}

interface CompiledRules {
  readonly fields: readonly FieldRule[];
  readonly whole: Check<unknown> | undefined;
}

// The table is typed field by field; here it becomes lists that one loop walks.
const COMPILED: ReadonlyMap<StanzaKind, CompiledRules> = new Map(
  STANZA_SHAPES.flatMap((shape): [StanzaKind, CompiledRules][] => {
    const rules = STANZA_RULES[shape.kind];
    if ("serverOnly" in rules) return [];
    const fields = Object.entries(rules.fields).map(([localName, check]) => {
      const name = shape.message.field[localName]?.name ?? localName;
      return { localName, name, check: check as Check<unknown> };
    });
    return [[shape.kind, { fields, whole: rules.whole as Check<unknown> | undefined }]];
  }),
);

/**
 * What is wrong with a stanza from a client, or `undefined`. The error is a 422 of the first failing field, named by
 * its path in the .proto file's words (`field` "message.to.eid", details "message.to.eid: is missing"), or a 400 for a
 * kind that only the server sends. The stanza's id is in it if it is a valid one.
 */
export function validateStanza(stanza: Stanza): BimipError | undefined {
  const rules = COMPILED.get(stanza.kind);
  if (rules === undefined) return refused(stanza, ErrorCode.MALFORMED, "", "only the server sends it");
  const value = stanza.value as unknown as Readonly<Record<string, unknown>>;
  for (const rule of rules.fields) {
    const found = rule.check(value[rule.localName]);
    if (found === undefined) continue;
    const path = found.path === "" ? rule.name : `${rule.name}.${found.path}`;
    return refused(stanza, ErrorCode.FIELD_WRONG, path, found.text);
  }
  const found = rules.whole?.(value);
  return found === undefined ? undefined : refused(stanza, ErrorCode.FIELD_WRONG, found.path, found.text);
}

function refused(stanza: Stanza, code: number, path: string, text: string): BimipError {
  const name = stanzaName(stanza.kind);
  const field = path === "" ? name : `${name}.${path}`;
  const id = stanzaId(stanza);
  const validId = nameProblem(id, LIMITS.idBytes) === undefined ? id : undefined;
  return new BimipError(code, `${field}: ${text}`, { field, id: validId });
}
