import { expect, it } from "vitest";
import { shellWord, welcomeText } from "./welcome.js";

const plain = (_style: string, text: string): string => text;
const facts = {
  url: "ws://127.0.0.1:4001/v1/ws",
  httpUrl: "http://127.0.0.1:4001",
  dataDir: ".bimip",
  env: {},
  tookS: 1.25,
};

it("has short lines when all is as usual", () => {
  const text = welcomeText(facts, plain);
  expect(text).toContain("npx bimip chat --as alice@example.com --to bob@example.com\n");
  expect(text).toContain("npx bimip chat --as bob@example.com --to alice@example.com\n");
  expect(text).toContain("curl http://127.0.0.1:4001/readyz\n");
  expect(text).toMatch(/Development profile: one replica, fsync every two minutes, rate limits off\. Not/);
});

it("names the address and the data directory when they are others", () => {
  const other = { ...facts, url: "ws://127.0.0.1:5001/v1/ws", dataDir: "my data" };
  const text = welcomeText(other, plain);
  expect(text).toContain("--to bob@example.com --url ws://127.0.0.1:5001/v1/ws --data-dir 'my data'\n");
  expect(text).toContain("npx bimip token --eid alice@example.com --device phone --data-dir 'my data'\n");
});

it("speaks of the secret when it came from the environment", () => {
  const text = welcomeText({ ...facts, dataDir: "x", env: { BIMIP_JWT_SECRET: "s" } }, plain);
  expect(text).toContain("(set BIMIP_JWT_SECRET there as well)\n");
  expect(text).not.toContain("--data-dir");
});

it("speaks of all that makes a token", () => {
  const env = { BIMIP_JWT_SECRET: "s", BIMIP_JWT_ISSUER: "https://me.example", BIMIP_JWT_AUDIENCE: "chat" };
  const text = welcomeText({ ...facts, env }, plain);
  expect(text).toContain("(set BIMIP_JWT_SECRET, BIMIP_JWT_ISSUER and BIMIP_JWT_AUDIENCE there as well)\n");
  const other = welcomeText({ ...facts, dataDir: "x", env: { BIMIP_JWT_AUDIENCE: "chat" } }, plain);
  expect(other).toContain("(set BIMIP_JWT_AUDIENCE there as well)\n");
  expect(other).toContain("--data-dir x\n");
});

it("does not say that rates are off which are set", () => {
  const text = welcomeText({ ...facts, env: { BIMIP_RATE_BYTES: "1/2" } }, plain);
  expect(text).toContain("rate limits off unless set. Not");
  expect(welcomeText({ ...facts, env: { BIMIP_RATE_BYTES: "" } }, plain)).toContain("rate limits off. Not");
});

it("with a certificate says how to trust it", () => {
  const secure = { url: "wss://127.0.0.1:4001/v1/ws", httpUrl: "https://127.0.0.1:4001" };
  const text = welcomeText({ ...facts, ...secure, env: { BIMIP_TLS_CERT_FILE: "my cert.pem" } }, plain);
  expect(text).toContain("set NODE_EXTRA_CA_CERTS there, to my cert.pem");
  expect(text).toContain("curl --cacert 'my cert.pem' https://127.0.0.1:4001/readyz\n");
  expect(text).toContain("curl --cacert 'my cert.pem' -s https://127.0.0.1:4001/metrics\n");
});

it("quotes for the shell", () => {
  expect([shellWord("a/b.c"), shellWord("it's"), shellWord("")]).toEqual(["a/b.c", "'it'\\''s'", "''"]);
});
