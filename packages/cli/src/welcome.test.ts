import { expect, it } from "vitest";
import { shellWord, welcomeText } from "./welcome.js";

const plain = (_style: string, text: string): string => text;
const facts = {
  url: "ws://127.0.0.1:4001/v1/ws",
  httpUrl: "http://127.0.0.1:4001",
  dataDir: ".bimip",
  secretFromEnvironment: false,
  tookS: 1.25,
};

it("has short lines when all is as usual", () => {
  const text = welcomeText(facts, plain);
  expect(text).toContain("npx bimip chat --as alice@example.com --to bob@example.com\n");
  expect(text).toContain("npx bimip chat --as bob@example.com --to alice@example.com\n");
  expect(text).toContain("curl http://127.0.0.1:4001/readyz\n");
  expect(text).toMatch(/Development profile: one replica, fsync every two minutes, rate limits off/);
});

it("names the address and the data directory when they are others", () => {
  const other = { ...facts, url: "ws://127.0.0.1:5001/v1/ws", dataDir: "my data" };
  const text = welcomeText(other, plain);
  expect(text).toContain("--to bob@example.com --url ws://127.0.0.1:5001/v1/ws --data-dir 'my data'\n");
  expect(text).toContain("npx bimip token --eid alice@example.com --device phone --data-dir 'my data'\n");
});

it("speaks of the secret when it came from the environment", () => {
  const text = welcomeText({ ...facts, dataDir: "x", secretFromEnvironment: true }, plain);
  expect(text).toContain("BIMIP_JWT_SECRET");
  expect(text).not.toContain("--data-dir");
});

it("quotes for the shell", () => {
  expect([shellWord("a/b.c"), shellWord("it's"), shellWord("")]).toEqual(["a/b.c", "'it'\\''s'", "''"]);
});
