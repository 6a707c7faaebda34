import type { LastPlace, Presence } from "@bimip/client";
import { printable, type Style } from "./output.js";
import { timeText } from "./shown-message.js";

/** What is shown of somebody, cell by cell. */
export interface PresenceCells {
  readonly eid: string;
  readonly presence: string;
  /** The status of their own making, with its words. */
  readonly status: string;
  readonly details: string;
  /** Last seen while offline, else since when. */
  readonly time: string;
  readonly place: string;
}

/** So many digits behind the point are a metre. */
const DEGREE_DIGITS = 5;

export function presenceCells({ eid, status, details, ...rest }: Presence, now = new Date()): PresenceCells {
  const { since, lastSeen, custom, location } = rest;
  const time = lastSeen ?? since;
  const words = custom === undefined ? "" : `#${custom.status} ${printable(custom.details)}`.trim();
  return {
    eid: printable(eid),
    presence: String(status),
    status: words,
    details: printable(details),
    time: time === undefined ? "" : `${lastSeen === undefined ? "since" : "last seen"} ${timeText(time, now)}`,
    place: location === undefined ? "" : placeText(location),
  };
}

/** One line for a log: who, and all that is known. */
export function presenceText(eid: string, presence: Presence | undefined): string {
  if (presence === undefined) return `${printable(eid)} may not be seen`;
  const { eid: name, ...cells } = presenceCells(presence);
  const words = cells.details === "" ? "" : `(${cells.details})`;
  return [name, cells.presence, words, cells.status, cells.time, cells.place].filter((part) => part !== "").join(" ");
}

export function placeText({ latitude, longitude, altitude }: Omit<LastPlace, "at">): string {
  const degrees = `${latitude.toFixed(DEGREE_DIGITS)}, ${longitude.toFixed(DEGREE_DIGITS)}`;
  return altitude === undefined ? degrees : `${degrees}, ${Math.round(altitude)} m`;
}

/** The most present first, then by name. */
export function byPresence(a: Presence, b: Presence): number {
  return rank(a) - rank(b) || (a.eid < b.eid ? -1 : 1);
}

export function styleOf({ status }: Presence): Style {
  if (status === "online") return "green";
  return status === "offline" ? "dim" : "yellow";
}

const ORDER: readonly unknown[] = ["online", "busy", "dnd", "away", "offline"];

function rank({ status }: Presence): number {
  const at = ORDER.indexOf(status);
  return at < 0 ? ORDER.length : at;
}
