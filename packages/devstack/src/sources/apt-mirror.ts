import { readdir, readFile } from "node:fs/promises";
import { runCommand } from "../run-command.js";

/**
 * URI of the mirror that this machine's apt uses for its own suite: from apt's lists, or from its sources files where the
 * lists were deleted, as container images do.
 *
 * @throws Error when there is no apt-get or when neither names a mirror.
 */
export async function aptMirror(options: {
  codename: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}): Promise<string> {
  const { codename, env, signal } = options;
  const args = ["indextargets", "--format", "$(REPO_URI) $(RELEASE)"];
  const targets = await runCommand({ command: "apt-get", args, env, signal });
  for (const line of targets.split("\n")) {
    const [uri, release] = line.split(" ");
    if (uri && release === codename) return uri;
  }
  for (const text of await sourcesFiles()) {
    const uri = mirrorInSources(text, codename);
    if (uri) return uri;
  }
  throw new Error(`apt has no source for ${codename}`);
}

async function sourcesFiles(): Promise<string[]> {
  const folder = "/etc/apt/sources.list.d";
  const names = await readdir(folder).catch(() => []);
  const paths = ["/etc/apt/sources.list", ...names.map((name) => `${folder}/${name}`)];
  return Promise.all(paths.map((path) => readFile(path, "utf8").catch(() => "")));
}

/** The URI that a sources file, in the one-line or the deb822 form, gives for a suite. */
export function mirrorInSources(text: string, suite: string): string | undefined {
  const words = (line: string | undefined) => line?.trim().split(/\s+/) ?? [];
  for (const line of text.split("\n")) {
    const [, uri, release] = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line) ?? [];
    if (uri && release === suite) return uri;
  }
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string) => words(new RegExp(`^${name}:(.*)$`, "mi").exec(stanza)?.[1]);
    if (field("Types").includes("deb") && field("Suites").includes(suite)) return field("URIs")[0];
  }
  return undefined;
}
