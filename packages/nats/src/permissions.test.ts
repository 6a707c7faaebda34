import { expect, test } from "vitest";
import { CATALOGUE } from "./catalogue.js";
import { NATS_USERS, type NatsUser, PERMISSIONS, permissionsOf } from "./permissions.js";

/** Users as the catalogue of names calls them. */
const USER_OF: Readonly<Record<string, NatsUser>> = { cli: "operator" };
const usersIn = (text: string): string[] =>
  text
    .split(", ")
    .map((name) => USER_OF[name] ?? name)
    .filter((name) => (NATS_USERS as readonly string[]).includes(name))
    .sort();

const covers = (pattern: string, subject: string): boolean => {
  const [wanted, given] = [pattern.split("."), subject.split(".")];
  return (
    wanted.every((token, at) => token === ">" || token === "*" || token === given[at]) &&
    (wanted.at(-1) === ">" ? given.length >= wanted.length : given.length === wanted.length)
  );
};

test("who writes and reads a subject by the catalogue of names may do so, and nobody else", () => {
  for (const { kind, name, writes, reads } of CATALOGUE) {
    if (kind !== "subject") continue;
    const subject = name.replaceAll(/<\w+>/g, "1").replace("LOG_1", "LOG_<p>");
    const may = (of: "publish" | "subscribe"): string[] =>
      [...new Set(PERMISSIONS.filter((row) => covers(row.subject, subject)).flatMap((row) => row[of]))].sort();
    expect(may("publish"), `writes ${name}`).toEqual(usersIn(writes));
    expect(may("subscribe"), `reads ${name}`).toEqual(usersIn(reads));
  }
});

test("partitions are written out: NATS takes a wildcard for whole tokens only", () => {
  for (const user of NATS_USERS) {
    const { publish, subscribe } = permissionsOf(user, 3);
    for (const line of [...publish, ...subscribe]) {
      expect(line).not.toMatch(/[<>]\w|\w[*<]|[*]\w/);
      const [subject = ""] = line.split(" ");
      for (const token of subject.split(".")) expect(token, subject).toMatch(/^(\*|>|[^*>]+)$/);
    }
  }
  const { publish } = permissionsOf("gateway", 3);
  expect(publish).toContain("$JS.API.DIRECT.GET.LOG_2");
  expect(publish).not.toContain("$JS.API.DIRECT.GET.LOG_3");
});

test("gateways make no consumers, purge nothing and know nothing of refresh tokens", () => {
  for (const subject of permissionsOf("gateway", 256).publish)
    expect(subject).not.toMatch(/CONSUMER|PURGE|DELETE|CREATE|UPDATE|REFRESH|KV_BIMIP_USERS/);
});
