import { expect, test } from "vitest";
import { SUBJECTS } from "./names.js";

test("a wildcard is a token of its own: anything else is a literal to NATS, and hears nothing", () => {
  const subjects = Object.values(SUBJECTS).filter((subject) => typeof subject === "string");
  expect(subjects).toContain(SUBJECTS.leaderElected);
  for (const subject of subjects) {
    for (const token of subject.split(".")) expect(token, subject).toMatch(/^(\*|>|[^*>]+)$/);
  }
});
