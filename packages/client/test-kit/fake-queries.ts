import { MessageSchemeSchema, type Page, PageSchema, type Query, QueryType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { type Entry, isConversation, withIndexes } from "./fake-log.js";

/** The answer to a query of the user whose log it is. */
export function pageOf(log: readonly Entry[], eid: string, query: Query): Page {
  const page = create(PageSchema, { id: query.id });
  const conversation = log.filter((entry) => isConversation(entry, query.with?.eid ?? ""));
  if (query.type === QueryType.HISTORY) fillHistory(page, log, conversation, query);
  if (query.type === QueryType.UNREAD) fillUnread(page, conversation, eid);
  return page;
}

function fillHistory(page: Page, log: readonly Entry[], conversation: readonly Entry[], query: Query): void {
  const forwards = query.after > 0n;
  const within = conversation.filter(({ index }) =>
    forwards ? index > query.after : query.before === 0n || index < query.before,
  );
  const chosen = forwards ? within.slice(0, query.limit) : within.slice(-query.limit);
  const ids = new Set(chosen.map(({ stanza }) => stanza.value.id));
  const receipts = log.filter(({ stanza }) => stanza.kind === "signal" && ids.has(stanza.value.id));
  page.items = [...chosen, ...receipts].map((entry) => {
    const { kind, value } = withIndexes(entry, 0);
    return create(MessageSchemeSchema, { payload: { case: kind, value } as never });
  });
  page.next = BigInt((forwards ? chosen.at(-1) : chosen[0])?.index ?? 0);
  page.done = chosen.length === within.length;
}

function fillUnread(page: Page, conversation: readonly Entry[], eid: string): void {
  const rows = new Map<string, { count: number; last: number }>();
  for (const { index, stanza } of conversation) {
    const from = stanza.value.from?.eid ?? "";
    if (from !== eid) rows.set(from, { count: (rows.get(from)?.count ?? 0) + 1, last: index });
  }
  page.unread = create(PageSchema, {
    unread: [...rows].map(([other, { count, last }]) => ({ with: { eid: other }, count, lastId: BigInt(last) })),
  }).unread;
}
