import type { HistoryItem, IncomingMessage, IncomingPush, OutgoingState } from "@bimip/client";
import { type Output, printable } from "./output.js";

type Shown = IncomingMessage | IncomingPush;

/** The JSON form of a message: what scripts get, one a line. */
export function messageJson(kind: "message" | "push", message: Shown): object {
  // JSON leaves out what is a function.
  const { stanza: _stanza, ...fields } = message;
  return { kind, ...fields };
}

/** One message as a line for people: time, sender, text and what else it holds. */
export function messageText(message: Shown, output: Output, now = new Date()): string {
  const time = output.paint("dim", timeText(new Date(message.timestamp), now));
  const from = output.paint("cyan", printable(message.from.eid));
  return `${time} ${from}: ${contentText(message)}`;
}

/** The tick behind a message of one's own: ✓ stored, ✓✓ delivered, in green once it is read. */
export function tick(state: OutgoingState, { paint }: Output): string {
  if (state === "queued") return paint("dim", "…");
  if (state === "sent") return paint("dim", "✓");
  if (state === "delivered") return paint("dim", "✓✓");
  return state === "failed" ? paint("red", "✗") : paint("green", "✓✓");
}

/** One line of the history, one's own with their ticks. */
export function historyText(item: HistoryItem, output: Output): string {
  const line = messageText(item, output);
  if (!item.own) return line;
  const to = output.paint("dim", `→ ${printable(item.to.eid)}`);
  return `${line} ${to} ${tick(stateOf(item), output)}`;
}

/** How far a message of one's own has come, as its receipts say. */
export function stateOf({ receipts }: HistoryItem): OutgoingState {
  const has = (...statuses: string[]): boolean => receipts.some(({ status }) => statuses.includes(status));
  if (has("read", "played")) return "read";
  return has("delivered", "forwarded") ? "delivered" : "sent";
}

function contentText({ text, type, media, data }: Shown): string {
  const parts = [
    ...(type === "text" || type === "" ? [] : [`[${type}]`]),
    ...(text === undefined ? [] : [text]),
    ...media.map((item) => `<${item.type} ${item.url}>`),
    ...Object.entries(data).flatMap(([key, value]) => (key === "text" ? [] : [`${key}=${value}`])),
  ];
  return printable(parts.length === 0 ? "(empty)" : parts.join(" "));
}

/** Hours and minutes; the date before it when that is another day. */
export function timeText(at: Date, now = new Date()): string {
  if (Number.isNaN(at.getTime())) return "--:--";
  const two = (part: number): string => String(part).padStart(2, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const sameDay = at.toDateString() === now.toDateString();
  return sameDay ? time : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}
