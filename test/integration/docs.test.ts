// The documents stay true: names, settings, stanzas, codes, metrics, dependencies, file names and links are compared with
// the sources. `UPDATE_DOCS=1` in the environment writes the generated tables anew. Cannot show: that a sentence is right.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CATALOGUE, permissionsTable } from "@bimip/nats";
import { MessageSchemeSchema, SessionClaimSchema } from "@bimip/protocol";
import { settings, settingsTable } from "@bimip/runtime";
import { expect, test } from "vitest";
import { contactTableMarkdown } from "../../services/awareness/src/contacts/contact-table.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DOCUMENTS = [
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
].filter((name) => name.endsWith(".md"));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
/** What the pattern's first group caught, for every match. */
const caught = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map((match) => match[1] ?? "");

/** Variables of tools and of the command, which no service reads. */
const NO_SETTINGS = ["BIMIP_NATS_SERVER", "BIMIP_CHROMIUM", "BIMIP_TOKEN", "BIMIP_URL", "BIMIP_REFRESH_TOKEN"];

/** Compares what stands between two markers of a document; writes it there when UPDATE_DOCS is set. */
function expectBlock(document: string, name: string, wanted: string): void {
  const text = read(document);
  const [begin, end] = [`<!-- ${name}:begin -->\n`, `<!-- ${name}:end -->`];
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  expect(from, `${document} holds the markers of "${name}"`).toBeGreaterThanOrEqual(begin.length);
  expect(to).toBeGreaterThanOrEqual(from);
  if (process.env["UPDATE_DOCS"]) writeFileSync(join(ROOT, document), text.slice(0, from) + wanted + text.slice(to));
  else expect(text.slice(from, to), `${document}, "${name}": UPDATE_DOCS=1 writes it anew`).toBe(wanted);
}

test("docs/5-setup.md holds the table of settings", () => {
  expectBlock("docs/5-setup.md", "settings", settingsTable());
});

test("docs/2-architecture.md holds every NATS name, row by row", () => {
  // Angle brackets outside of code are markup to a Markdown reader.
  const cell = (text: string): string => (text.includes("<") ? `\`${text}\`` : text);
  const rows = CATALOGUE.map(
    ({ kind, name, writes, reads, carries }) =>
      `| ${kind} | \`${name}\` | ${cell(writes)} | ${cell(reads)} | ${cell(carries)} |\n`,
  );
  const head = "| kind | name | written by | read by | carries |\n|---|---|---|---|---|\n";
  expectBlock("docs/2-architecture.md", "names", head + rows.join(""));
});

test("docs/security.md holds the table of permissions", () => {
  expectBlock("docs/security.md", "nats-permissions", permissionsTable());
});

test("docs/3-protocol-spec.md holds the table of contacts", () => {
  expectBlock("docs/3-protocol-spec.md", "contacts", contactTableMarkdown());
});

/** A schema section of docs/3-protocol-spec.md: a heading in backticks, and its table's first cells. */
type Sections = ReadonlyMap<string, readonly string[]>;

function documentedSections(): Sections {
  const sections = new Map<string, string[]>();
  let rows: string[] | undefined;
  for (const line of read("docs/3-protocol-spec.md").split("\n")) {
    if (line.startsWith("#")) {
      const name = /^#+ `([\w.]+)`$/.exec(line)?.[1];
      rows = name === undefined ? undefined : [];
      if (name !== undefined && rows !== undefined) {
        expect(sections.has(name), `${name} is documented twice`).toBe(false);
        sections.set(name, rows);
      }
      continue;
    }
    const cells = /^\| (\d+) \|(.+)\|$/.exec(line);
    if (cells === null || rows === undefined) continue;
    const [name = "", type = ""] = (cells[2] ?? "").split("|").map((cell) => cell.trim().replaceAll("`", ""));
    rows.push(`${cells[1]} ${name} ${type}`);
  }
  return sections;
}

type File = typeof MessageSchemeSchema.file;

/** protobuf's names for the scalar types that the schema uses, by number. */
const SCALARS: Readonly<Record<number, string>> = {
  1: "double",
  3: "int64",
  5: "int32",
  8: "bool",
  9: "string",
  12: "bytes",
};

function typeOf(field: File["messages"][number]["fields"][number]): string {
  if (field.fieldKind === "map") return "map<string, string>";
  const plain = field.message?.name ?? SCALARS[field.scalar ?? 0] ?? "unknown";
  if (field.fieldKind === "list") return `repeated ${plain}`;
  return field.proto.proto3Optional ? `optional ${plain}` : plain;
}

const sectionName = (described: { readonly typeName: string }): string => described.typeName.replace(/^bimip\./, "");

test("docs/3-protocol-spec.md holds every message, field, enum and code of the schema, and no other", () => {
  const schema = new Map<string, readonly string[]>();
  for (const file of [MessageSchemeSchema.file, SessionClaimSchema.file]) {
    for (const message of file.messages) {
      schema.set(
        sectionName(message),
        message.fields.map((field) => `${field.number} ${field.name} ${typeOf(field)}`),
      );
    }
    for (const codes of file.enums) {
      const prefix = codes.sharedPrefix?.toUpperCase() ?? "";
      const values = codes.values.filter(({ number, name }) => number > 0 || !name.endsWith("_UNSPECIFIED"));
      schema.set(
        sectionName(codes),
        values.map(({ number, name }) => `${number} ${name.slice(prefix.length)}`),
      );
    }
  }
  const documented = documentedSections();
  expect([...documented.keys()].sort()).toEqual([...schema.keys()].sort());
  for (const [name, rows] of schema) {
    // The third cell of a code is its meaning.
    const isEnum = rows.every((row) => row.split(" ").length === 2);
    const told = (documented.get(name) ?? []).map((row) => (isEnum ? row.split(" ").slice(0, 2).join(" ") : row));
    expect(told, name).toEqual(rows);
  }
});

function sourcesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !/(^|\/)(node_modules|dist)\//.test(name))
    .map((name) => join(folder, name));
}

test("docs/5-setup.md names every metric of the services, and no other", () => {
  const made = ["services", "packages/nats/src"]
    .flatMap(sourcesUnder)
    .flatMap((path) => caught(read(path), /name: "(bimip_\w+)"/g));
  const told = caught(read("docs/5-setup.md"), /^\| `(bimip_\w+)`/gm);
  expect(told.toSorted()).toEqual([...new Set(made)].sort());
});

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

test("docs/2-architecture.md names every dependency, and no other", () => {
  const folders = ["packages", "services"].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`),
  );
  const used = new Set<string>();
  for (const folder of ["", ...folders]) {
    const path = join(folder, "package.json");
    if (!existsSync(join(ROOT, path))) continue;
    const { dependencies, devDependencies }: Manifest = JSON.parse(read(path));
    for (const name of Object.keys({ ...dependencies, ...devDependencies }))
      if (!name.startsWith("@bimip/")) used.add(name);
  }
  const section = /\n## Dependencies\n(.*?)\n## /s.exec(read("docs/2-architecture.md"))?.[1] ?? "";
  const told = caught(section, /^\| `([^`]+)` \|/gm);
  expect(told.toSorted()).toEqual([...used].sort());
});

test.each(DOCUMENTS)("%s: the files it names and links to exist", (document) => {
  const text = read(document);
  const links = caught(text, /\]\(([^)\s]+)\)/g);
  for (const link of links) {
    if (/^[a-z]+:/i.test(link)) continue;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? document : join(dirname(document), path);
    expect(existsSync(join(ROOT, target)), `${document} links to ${link}`).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(read(target)), `${document} links to ${link}`).toContain(anchor);
  }
  const named = caught(text, /`((?:packages|services|proto|test|scripts|docs)\/[\w./-]+)`/g);
  for (const path of named) expect(existsSync(join(ROOT, path)), `${document} names ${path}`).toBe(true);
});

/** The anchors that GitHub makes of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

// The changes tell of what was, too.
test.each(DOCUMENTS.filter((name) => name !== "CHANGELOG.md"))(
  "%s: the commands and settings that it names exist",
  (document) => {
    const text = read(document);
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Readonly<Record<string, string>> };
    for (const script of caught(text, /npm run (?:--silent )?([a-z][\w:-]*)/g))
      expect(Object.keys(scripts), `${document} names npm run ${script}`).toContain(script);
    const known = [...Object.keys(settings), ...CATALOGUE.map(({ name }) => name), ...NO_SETTINGS];
    // With dots behind it is the beginning of several.
    for (const name of caught(text, /`(BIMIP_[A-Z0-9_]+)(?:=[^`]*)?`/g))
      expect(known, `${document} names ${name}`).toContain(name);
  },
);

test("docs/security.md names every reason of the audit, and no other", () => {
  const union = /export type AuditReason =(.*?);/s.exec(read("services/gateway/src/audit.ts"))?.[1] ?? "";
  const row = /^\| `reason` \|(.*)\|$/m.exec(read("docs/security.md"))?.[1] ?? "";
  expect(caught(row, /`(\w+)`/g)).toEqual(caught(union, /\| "(\w+)"/g));
});

test.each(DOCUMENTS)("%s: no absolute path, no line left open", (document) => {
  const text = read(document);
  expect(text).not.toMatch(/(^|[\s("'`])\/(home|root|work|tmp|usr|Users)\//);
  expect(text).not.toMatch(/\b(TODO|FIXME|TBD)\b/);
});
