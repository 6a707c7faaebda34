import {
  BimipError,
  ErrorCode,
  type Message,
  type Page,
  type PushNotification,
  QueryType,
  type Signal,
  SignalStatus,
} from "@bimip/protocol";
import { type IncomingMessage, type IncomingPush, type ReceiptMethods, toIncoming } from "./incoming-message.js";
import type { Queries } from "./queries.js";

export interface HistoryOptions {
  /** Only the conversation with this EID; default all. */
  readonly with?: string;
  /** Only what lies below this log index. */
  readonly before?: number;
  /** Only what lies above this log index. */
  readonly after?: number;
  /** Default backwards: the newest first. */
  readonly direction?: "backwards" | "forwards";
  /** Messages asked for at once; default 50. The server may give fewer. */
  readonly pageSize?: number;
}

/** What a recipient told of a message of one's own; of several devices the first. */
export interface HistoryReceipt {
  /** EID. */
  readonly from: string;
  readonly status: "delivered" | "read" | "played" | "forwarded";
  /** Unix epoch milliseconds. */
  readonly at: number;
}

/** One message of the history; `receipts` are of the recipient, for what is one's own. */
export type HistoryItem = (
  | ({ readonly kind: "message" } & IncomingMessage)
  | ({ readonly kind: "push" } & IncomingPush)
) & { readonly receipts: readonly HistoryReceipt[] };

export interface HistorySource {
  readonly queries: Queries;
  /** The account; "" = not known. */
  readonly eid: () => string;
  readonly receiptsOf: (target: { id: string; from: string; index: number }) => ReceiptMethods;
}

const DEFAULT_PAGE = 50;

const STATUS_NAMES: ReadonlyMap<number, HistoryReceipt["status"]> = new Map([
  [SignalStatus.DELIVERED, "delivered"],
  [SignalStatus.READ, "read"],
  [SignalStatus.PLAYED, "played"],
  [SignalStatus.FORWARDED, "forwarded"],
]);

/** Pages through one's own log. Throws a BimipError as a query does, and 422 for a wrong option. */
export async function* history(source: HistorySource, options: HistoryOptions = {}): AsyncGenerator<HistoryItem> {
  const { direction = "backwards", pageSize = DEFAULT_PAGE, before = 0, after = 0 } = options;
  const forwards = direction === "forwards";
  for (const [field, value] of Object.entries({ pageSize, before, after })) checkWhole(field, value);
  const partner = options.with === undefined ? {} : { with: { eid: options.with } };
  const page = (position: { before?: bigint; after?: bigint }, limit: number): Promise<Page> =>
    source.queries.ask({ type: QueryType.HISTORY, ...partner, ...position, limit });
  const within = ({ index }: HistoryItem): boolean => index > after && (before === 0 || index < before);

  let position = BigInt(forwards ? after : before);
  if (forwards && after === 0) {
    // `after` 0 would ask for the newest; index 1 is asked for by itself, all else lies behind it.
    position = 1n;
    yield* itemsOf(await page({ before: 2n }, 1), source).filter(within);
  }
  for (;;) {
    const answer = await page(forwards ? { after: position } : { before: position }, pageSize);
    const items = itemsOf(answer, source);
    const wanted = items.filter(within);
    yield* forwards ? wanted : wanted.toReversed();
    const next = answer.next;
    const moves = forwards ? next > position : next > 0n && (position === 0n || next < position);
    if (answer.done || !moves || (items.length > 0 && wanted.length === 0)) return;
    position = next;
  }
}

/** Ascending, each with its receipts. */
function itemsOf({ items }: Page, source: HistorySource): HistoryItem[] {
  const receipts = new Map<string, HistoryReceipt[]>();
  for (const { payload } of items) {
    if (payload.case !== "signal") continue;
    const receipt = toReceipt(payload.value);
    if (receipt === undefined) continue;
    const key = keyOf(payload.value.id, receipt.from);
    const list = receipts.get(key);
    if (list === undefined) receipts.set(key, [receipt]);
    else if (!list.some(({ status }) => status === receipt.status)) list.push(receipt);
  }
  const contextOf = ({ id, from, monotonicId }: Message | PushNotification) => ({
    own: from?.eid === source.eid(),
    replayed: true,
    receipts: source.receiptsOf({ id, from: from?.eid ?? "", index: Number(monotonicId) }),
  });
  return items.flatMap(({ payload }): HistoryItem[] => {
    if (payload.case !== "message" && payload.case !== "pushNotification") return [];
    const { id, to } = payload.value;
    const told = { receipts: receipts.get(keyOf(id, to?.eid ?? "")) ?? [] };
    if (payload.case === "message") {
      return [{ kind: "message", ...toIncoming(payload.value, contextOf(payload.value)), ...told }];
    }
    return [{ kind: "push", ...toIncoming(payload.value, contextOf(payload.value)), ...told }];
  });
}

function toReceipt({ status, from, timestamp }: Signal): HistoryReceipt | undefined {
  const name = STATUS_NAMES.get(status);
  if (name === undefined || from === undefined) return undefined;
  return { from: from.eid, status: name, at: Number(timestamp) };
}

function checkWhole(field: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new BimipError(ErrorCode.FIELD_WRONG, `${field}: is ${value}, must be a whole number from 0 on`, { field });
}

function keyOf(id: string, eid: string): string {
  return `${id}\0${eid}`;
}
