import type { Session } from "../session.js";
import { tooMany } from "./refusals.js";

const MAX_UNDER_WAY = 8;

/** What a session asks about its tokens and of logging out: one after the other, since the last word counts; 429 beyond eight. */
export async function inTokenTurn(session: Session, id: string, work: () => Promise<void>): Promise<void> {
  if (session.tokensUnderWay >= MAX_UNDER_WAY)
    return session.fail(tooMany(MAX_UNDER_WAY, "token requests and logouts are under way", id));
  session.tokensUnderWay++;
  try {
    await session.inTokenTurn(work);
  } finally {
    session.tokensUnderWay--;
  }
}
