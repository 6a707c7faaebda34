import { readFileSync } from "node:fs";

/** A bug that somebody might write, as a change of the sources: `from` stands in `file` exactly once. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Why the simulation cannot see it; undefined: it must. */
  readonly unseen: string | undefined;
}

/** The table, mutations.txt. Its first lines tell how it is written. */
export function readMutations(): Mutation[] {
  const text = readFileSync(new URL("mutations.txt", import.meta.url), "utf8");
  const mutations: Mutation[] = [];
  let file = "";
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.split("\n").filter((line) => line !== "");
    const [first = ""] = lines;
    if (first.startsWith("## ")) file = first.slice(3);
    if (first === "" || first.startsWith("#")) continue;
    const marked = (mark: string): string[] =>
      lines.filter((line) => line.startsWith(`${mark} `)).map((line) => line.slice(2));
    const unseen = marked("?").join(" ");
    mutations.push({
      name: first,
      file,
      from: marked("-").join("\n"),
      to: marked("+").join("\n"),
      unseen: unseen === "" ? undefined : unseen,
    });
  }
  return mutations;
}

/**
 * The source with the bug in it.
 *
 * @throws Error that names the mutation when the sources do not say any more what it would change
 */
export function applyMutation({ name, file, from, to }: Mutation, source: string): string {
  const [before, after, ...more] = from === "" ? [] : source.split(from);
  if (before === undefined || after === undefined || more.length > 0) {
    const times = after === undefined ? "does not stand" : "stands more than once";
    throw new Error(`mutation "${name}": its text ${times} in ${file}:\n${from}`);
  }
  return `${before}${to}${after}`;
}
