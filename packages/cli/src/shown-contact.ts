import type { Contact } from "@bimip/client";
import { type Output, printable } from "./output.js";
import { columnsOf } from "./text-width.js";

/** How one stands with somebody, as words. */
export function relationText(contact: Contact): string {
  const { state, follower, askedByMe, askedByThem, blocked } = contact;
  const words = [
    state === "contact" && "contact",
    state === "following" && "you follow",
    follower && "follows you",
    askedByMe === "contact" && "you asked to be contacts",
    askedByMe === "follow" && "you asked to follow",
    askedByThem === "contact" && "asks to be contacts",
    askedByThem === "follow" && "asks to follow you",
    blocked && "blocked",
  ].filter((word) => word !== false);
  return words.length === 0 ? "nothing between you" : words.join(", ");
}

/** The list as a table for people: who, how one stands, what they may know of where one is. */
export function contactTable(contacts: readonly Contact[], output: Output): string {
  const sorted = contacts.toSorted((a, b) => (a.eid < b.eid ? -1 : 1));
  const rows = sorted.map((contact) => ({
    eid: printable(contact.eid),
    relation: relationText(contact),
    place: placeText(contact),
    waits: contact.askedByThem !== undefined,
  }));
  const width = (texts: readonly string[]): number => Math.max(...texts.map(columnsOf));
  const [eids, relations] = [width(rows.map(({ eid }) => eid)), width(rows.map(({ relation }) => relation))];
  const pad = (text: string, columns: number): string => text + " ".repeat(columns - columnsOf(text));
  return rows
    .map(({ eid, relation, place, waits }) => {
      const padded = place === "" ? relation : pad(relation, relations);
      const painted = waits ? output.paint("yellow", padded) : padded;
      return [output.paint("cyan", pad(eid, eids)), painted, output.paint("dim", place)].join("  ").trimEnd();
    })
    .join("\n");
}

/** Of those who may know anything of it. */
function placeText({ state, follower, locationPrecisionM }: Contact): string {
  if (state !== "contact" && !follower) return "";
  if (locationPrecisionM < 0) return "never your location";
  return locationPrecisionM === 0 ? "" : `your location to ${locationPrecisionM} m`;
}
