import { nearestName } from "./nearest-name.js";
import type { Setting } from "./setting.js";
import { type SettingName, type Settings, settings } from "./settings.js";

/** The environment a configuration is read from: variable name to text. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that is wrong with the environment, one line each in `problems`. Secrets are not repeated. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the environment is not usable: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

type Read = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string };

function readSetting(name: SettingName, env: Environment): Read {
  const row: Setting<unknown> = settings[name];
  // Compose files and shells hand over an unset variable as an empty one.
  const given = env[name] === "" ? undefined : env[name];
  const source = given ?? (typeof row.default === "function" ? row.default() : row.default);
  if (source === undefined) return { ok: true, value: undefined };
  const parsed = row.parse.safeParse(source);
  if (parsed.success) return { ok: true, value: parsed.data };
  const expected = parsed.error.issues[0]?.message ?? `expected ${row.type}`;
  return {
    ok: false,
    problem: row.secret ? `${name}: ${expected}` : `${name}: ${expected}, got ${JSON.stringify(source)}`,
  };
}

function unknownVariables(env: Environment): string[] {
  const known = Object.keys(settings);
  return Object.keys(env)
    .filter((name) => name.startsWith("BIMIP_") && !known.includes(name))
    .map((name) => `${name} is not a known variable, did you mean ${nearestName(name, known)}?`);
}

/**
 * Reads the named variables and freezes the result. An unset or empty variable takes its default.
 *
 * @throws ConfigError listing every problem at once: a value that does not parse, and any `BIMIP_*` variable, named here or
 * not, that the catalogue does not hold.
 */
export function loadConfig<K extends SettingName>(
  names: readonly K[],
  env: Environment = process.env,
): Readonly<Pick<Settings, K>> {
  const problems = unknownVariables(env);
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const read = readSetting(name, env);
    if (read.ok) values[name] = read.value;
    else problems.push(read.problem);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  // Each key of `names` was set from its own row just above, which no type can follow.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.freeze(values) as Readonly<Pick<Settings, K>>;
}
