import type { Contact } from "@bimip/client";
import { expect, it } from "vitest";
import { createOutput } from "./output.js";
import { contactTable, relationText } from "./shown-contact.js";

const contact = (init: Partial<Contact>): Contact => ({
  eid: "bob",
  state: "none",
  follower: false,
  blocked: false,
  locationPrecisionM: 0,
  ...init,
});

it.each<[Partial<Contact>, string]>([
  [{ state: "contact" }, "contact"],
  [{ state: "following", askedByMe: "contact" }, "you follow, you asked to be contacts"],
  [{ follower: true, askedByThem: "contact" }, "follows you, asks to be contacts"],
  [{ askedByMe: "follow", askedByThem: "follow" }, "you asked to follow, asks to follow you"],
  [{ blocked: true }, "blocked"],
  [{}, "nothing between you"],
])("%j is %j", (init, text) => {
  expect(relationText(contact(init))).toBe(text);
});

it("are a table", () => {
  const output = createOutput({ json: false, stdout: { write: () => true }, stderr: { write: () => true }, env: {} });
  const list = [
    contact({ eid: "dave", askedByThem: "contact" }),
    contact({ eid: "bob@example.com", state: "contact", locationPrecisionM: 500 }),
    contact({ eid: "carol", follower: true, locationPrecisionM: -1 }),
  ];
  expect(contactTable(list, output).split("\n")).toEqual([
    "bob@example.com  contact              your location to 500 m",
    "carol            follows you          never your location",
    "dave             asks to be contacts",
  ]);
});
