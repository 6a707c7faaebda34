/** A name that has hurt some system, and what it is. */
export interface HostileName {
  readonly what: string;
  readonly name: string;
}

const named = (what: string, ...names: readonly string[]): HostileName[] =>
  names.map((name) => ({ what: names.length === 1 ? what : `${what}: ${printable(name)}`, name }));

/** As one may print it: escapes for what cannot be seen, and not too long. */
export function printable(name: string): string {
  const shown = JSON.stringify(name).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return shown.length > 60 ? `${shown.slice(0, 50)}… (${name.length})` : shown;
}

/** For EIDs, devices, ids, types, whatever takes a name. Some break the rules of names, some only look as if they did. */
export const HOSTILE_NAMES: readonly HostileName[] = [
  ...named("NATS wildcard", "*", ">", "a.*", "a.>", "*.*", ".>", "bimip.>", "bimip.to.*.log", "bimip.log.*.>"),
  ...named("dots", ".", "..", "a.b", "a..b", ".a", "a.", "../../etc/passwd", "./a"),
  ...named(
    "NATS's own",
    "$JS.API.>",
    "$JS.API.STREAM.DELETE.LOG_0",
    "$SYS",
    "$SYS.>",
    "$KV.BIMIP_AWARENESS.>",
    "_INBOX.>",
  ),
  ...named(
    "another's subject",
    "bimip.to.bystander_40x.log",
    "x.log",
    "bystander_40x",
    "bystander@x.log",
    "bystander@x ",
  ),
  ...named("token of another name", "_2E", "a_2Eb", "_", "__", "a_", "bystander_2540x"),
  ...named("case", "A", "a", "BYSTANDER@X", "Bystander@x"),
  ...named("space", " ", "a b", " a", "a ", "a  b"),
  ...named("no-break and other spaces", "a\u00a0b", "\u00a0", "a\u2003b", "a\u3000b", "a\u2028b", "a\u2029b"),
  ...named("CRLF", "a\r\nb", "a\r\nPUB bimip.to.x 1\r\nx\r\n", "\r", "\n", "a\nSet-Cookie: x=y"),
  ...named("NUL", "\0", "a\0b", "bystander@x\0"),
  ...named("control character", "a\tb", "a\fb", "a\vb", "a\x1b[31mred", "a\bb", "a\x7fb", "a\x85b", "a\x9bb"),
  ...named("direction marks", "\u202ea", "a\u200fb", "\u2066a\u2069", "\u200e", "\u061ca"),
  ...named("byte order mark", "\ufeff", "\ufeffbystander@x", "bystander@x\ufeff"),
  ...named("zero width", "bystander\u200b@x", "\u200d", "a\u200cb", "\u2060a", "a\u00adb"),
  ...named("combining", "\u00e9", "e\u0301", "a\u0300\u0301\u0302\u0303\u0304", "\ufb01", "\u00c5", "\u212b", "\u0301"),
  ...named("look-alike", "bystаnder@x", "ｂystander@x", "bystander＠x", "İ", "ß", "ſ"),
  ...named("emoji", "👩‍👩‍👧‍👦", "🇩🇪", "\u{10ffff}", "\ufffd", "\ufffe", "\uffff"),
  ...named("lone surrogate", "\ud800", "a\udfff", "\udc00\ud800", "bystander@x\ud83d"),
  ...named(
    "long",
    "a".repeat(128),
    "a".repeat(129),
    "a".repeat(255),
    "a".repeat(256),
    "é".repeat(127),
    "é".repeat(128),
  ),
  ...named("5 kB", "a".repeat(5_000)),
  ...named("5 kB of dots", "a.".repeat(2_500)),
  ...named("20 kB of wildcards", "*".repeat(20_000)),
  ...named("percent", "%", "%00", "%2e%2e%2f", "%0d%0aX: y", "bystander%40x", "%c0%ae", "%u002e"),
  ...named(
    "URL",
    "http://x/?a=b#c",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a&device=other",
    "a;b",
    "file:///etc/passwd",
    "javascript:x",
  ),
  ...named(
    "JSON",
    '{"eid":"bystander@x"}',
    '"',
    '","sub":"bystander@x',
    "[]",
    "\\u0000",
    "null",
    "undefined",
    "true",
    "0",
    "NaN",
  ),
  ...named("SQL", "' OR '1'='1", "'; DROP TABLE users;--", "admin'--", "1;SELECT pg_sleep(9)"),
  ...named(
    "markup",
    "<script>alert(1)</script>",
    "&lt;",
    "]]>",
    "<!--",
    "{{7*7}}",
    "${7*7}",
    "%{7*7}",
    "$(id)",
    "`id`",
    "| id",
  ),
  ...named("prototype", "__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__"),
  ...named("word of ours", "probe", "claim", "log", "stanza", "end", "operator", "bimip", "system", "root", "admin"),
  ...named("format", "%s%s%n", "{0}", "-", "--help", "-1", "1e309", "0x10", "@", "@@", "a@b@c", "a,b", "a:b", "1:a"),
  ...named("address", "127.0.0.1", "::1", "[::1]:4001", "10.0.0.1"),
  ...named("nothing", ""),
];

/** The rule for names, said once more: without looking at how the broker checks it. */
export function isName(name: string, maxBytes: number): boolean {
  const bytes = Buffer.from(name);
  return bytes.length > 0 && bytes.length <= maxBytes && bytes.toString() === name && !/[\0-\x1f\x7f-\x9f]/.test(name);
}
