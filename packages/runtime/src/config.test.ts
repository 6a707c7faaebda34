import { describe, expect, test } from "vitest";
import { ConfigError, loadConfig, type SettingName, settings, settingsTable } from "./index.js";

const secret = "a secret of more than thirty-two bytes";
const names = Object.keys(settings).filter((name): name is SettingName => name in settings);

function problemsOf(wanted: readonly SettingName[], env: Record<string, string>): readonly string[] {
  try {
    loadConfig(wanted, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("loadConfig", () => {
  test("every default is valid", () => {
    const config = loadConfig(names, { BIMIP_JWT_SECRET: secret });
    expect(config).toMatchObject({
      BIMIP_PORT: 4001,
      BIMIP_HOST: "127.0.0.1",
      BIMIP_DATA_DIR: ".bimip",
      NATS_URL: "nats://127.0.0.1:4222",
      BIMIP_NATS_SERVER: undefined,
      BIMIP_LOG_PARTITIONS: 4,
      BIMIP_REPLICAS: 1,
      BIMIP_UNKNOWN_RECIPIENT: "accept",
      BIMIP_LOG_LEVEL: "info",
      BIMIP_ADMIN_PORT: 0,
    });
    expect(config.BIMIP_NODE).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(config.BIMIP_NODE.endsWith(`-${process.pid}`)).toBe(true);
  });

  test("holds the named variables only, frozen", () => {
    const config = loadConfig(["BIMIP_PORT"], { BIMIP_PORT: "0", BIMIP_HOST: "::1", PATH: "/bin" });
    expect(config).toEqual({ BIMIP_PORT: 0 });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("an empty variable counts as unset", () => {
    expect(loadConfig(["BIMIP_PORT", "BIMIP_NATS_SERVER"], { BIMIP_PORT: "", BIMIP_NATS_SERVER: "" })).toEqual({
      BIMIP_PORT: 4001,
      BIMIP_NATS_SERVER: undefined,
    });
  });

  test.each<[SettingName, string, unknown]>([
    ["BIMIP_REPLICAS", "3", 3],
    ["BIMIP_UNKNOWN_RECIPIENT", "reject", "reject"],
    ["BIMIP_LOG_LEVEL", "silent", "silent"],
    ["NATS_URL", "nats://a:4222, tls://u:p@b:4222", "nats://a:4222, tls://u:p@b:4222"],
    ["NATS_URL", "localhost:4222", "localhost:4222"],
    ["BIMIP_NODE", "gw-1", "gw-1"],
    ["BIMIP_RATE_CONNECTS", "0.5/20", { perSecond: 0.5, burst: 20 }],
    ["BIMIP_RATE_CONNECTS", "off", undefined],
    ["BIMIP_JWT_ALGORITHMS", " RS256, EdDSA ,", ["RS256", "EdDSA"]],
    ["BIMIP_JWT_ISSUER", "https://a.example,b", ["https://a.example", "b"]],
    ["BIMIP_JWT_KEY_FILES", "", []],
  ])("takes %s=%s", (name, given, value) => {
    expect(loadConfig([name], { [name]: given })[name]).toEqual(value);
  });

  test.each<[SettingName, string]>([
    ["BIMIP_PORT", "65536"],
    ["BIMIP_PORT", "-1"],
    ["BIMIP_PORT", "1e3"],
    ["BIMIP_PORT", "0x10"],
    ["BIMIP_PORT", "4001 "],
    ["BIMIP_PORT", "4001.5"],
    ["BIMIP_REPLICAS", "2"],
    ["BIMIP_UNKNOWN_RECIPIENT", "maybe"],
    ["BIMIP_LOG_LEVEL", "loud"],
    ["BIMIP_NODE", "a.b"],
    ["BIMIP_LOG_PARTITIONS", "0"],
    ["BIMIP_SEND_DEADLINE_MS", "99"],
    ["BIMIP_RATE_CONNECTS", "50"],
    ["BIMIP_RATE_CONNECTS", "0/5"],
    ["BIMIP_RATE_CONNECTS", "5/0"],
    ["BIMIP_RATE_CONNECTS", "-1/5"],
    ["BIMIP_JWT_ALGORITHMS", "RS256,none"],
    ["BIMIP_JWT_ALGORITHMS", " , "],
    ["BIMIP_JWT_ALGORITHMS", "hs256"],
  ])("refuses %s=%s", (name, given) => {
    const [problem, ...more] = problemsOf([name], { [name]: given });
    expect(problem).toMatch(new RegExp(`^${name}: expected .*, got "`));
    expect(more).toEqual([]);
  });

  test.each<[SettingName, string]>([
    ["BIMIP_JWT_SECRET", "hunter2"],
    ["NATS_URL", "http://user:hunter2@a"],
    ["NATS_URL", "nats://user:hunter2@a,,"],
    ["BIMIP_JWKS_URL", "https://user:hunter2@a.example/jwks"],
    ["BIMIP_JWKS_URL", "ftp://a.example/hunter2"],
  ])("does not repeat the value of %s", (name, given) => {
    const [problem] = problemsOf([name], { [name]: given });
    expect(problem).toMatch(new RegExp(`^${name}: expected`));
    expect(problem).not.toContain("hunter2");
  });

  test("reports all problems together", () => {
    const problems = problemsOf(["BIMIP_PORT", "BIMIP_JWT_SECRET", "BIMIP_REPLICAS"], {
      BIMIP_PORT: "x",
      BIMIP_JWT_SECRET: "short",
      BIMIP_REPLICAS: "2",
      BIMIP_PROT: "1",
    });
    expect(problems).toEqual([
      "BIMIP_PROT is not a known variable, did you mean BIMIP_PORT?",
      expect.stringMatching(/^BIMIP_PORT: expected a whole number from 0 to 65535, got "x"$/),
      "BIMIP_JWT_SECRET: expected at least 32 bytes of UTF-8",
      'BIMIP_REPLICAS: expected one of 1, 3, 5, got "2"',
    ]);
  });

  test.each([
    ["BIMIP_JWT_SECERT", "BIMIP_JWT_SECRET"],
    ["BIMIP_NATS_URL", "BIMIP_NATS_SERVER"],
    ["BIMIP_LOGLEVEL", "BIMIP_LOG_LEVEL"],
    ["BIMIP_MAX_STANZA", "BIMIP_MAX_STANZA_BYTES"],
  ])("unknown %s: names one that is near", (unknown, near) => {
    const [problem] = problemsOf([], { [unknown]: "1" });
    // Which of several near ones does not matter to the operator, that it is a real one does.
    const named = /did you mean (\w+)\?$/.exec(problem ?? "")?.[1];
    expect(names).toContain(named);
    if (unknown !== "BIMIP_NATS_URL") expect(named).toBe(near);
  });

  test("a known variable that was not asked for is no problem, whatever it holds", () => {
    expect(loadConfig([], { BIMIP_PORT: "x" })).toEqual({});
  });
});

describe("settings", () => {
  test.each(names)("%s is documented", (name) => {
    expect(settings[name].doc).toMatch(/^\S.*\.$/);
    expect(settings[name].doc).not.toContain("|");
    const unit = { _MS: "milliseconds", _S: "seconds", _BYTES: "bytes" }[/_(?:MS|S|BYTES)$/.exec(name)?.[0] ?? ""];
    if (unit !== undefined) expect(settings[name].type).toContain(unit);
  });

  test("the table has a row for each, in order", () => {
    const lines = settingsTable().trimEnd().split("\n").slice(2);
    expect(lines.map((line) => /^\| `(\w+)` \|/.exec(line)?.[1])).toEqual(names);
    expect(lines.every((line) => line.split(" | ").length === 4)).toBe(true);
    expect(settingsTable()).toContain("| `BIMIP_PORT` | whole number from 0 to 65535 | `4001` | ");
    // Generated on one machine, checked on another.
    expect(settingsTable()).not.toContain(String(process.pid));
  });
});
