/** Longest that a source of the binary is waited on without an answer. */
export const ANSWER_DEADLINE_MS = 5_000;

/** Watches over questions to a network; `signal` aborts when one of them stays unanswered for too long. */
export interface AnswerWatch {
  readonly signal: AbortSignal;
  /** A question went out. Asking the same one again starts its wait anew. */
  asked(question: string): void;
  /** Its answer came, or its first byte. */
  answered(question: string): void;
  /** Nothing is outstanding any more. */
  close(): void;
}

/** @param signal ends the watch from outside; @param deadlineMs wait per question, default 5 s. */
export function createAnswerWatch(signal: AbortSignal, deadlineMs: number = ANSWER_DEADLINE_MS): AnswerWatch {
  const end = new AbortController();
  const endFromOutside = () => end.abort(signal.reason);
  if (signal.aborted) endFromOutside();
  signal.addEventListener("abort", endFromOutside, { once: true });
  const waiting = new Map<string, NodeJS.Timeout>();
  const answered = (question: string) => {
    clearTimeout(waiting.get(question));
    waiting.delete(question);
  };
  return {
    signal: end.signal,
    asked(question) {
      answered(question);
      const late = () => end.abort(new Error(`no answer in ${deadlineMs / 1_000} s: ${question}`));
      waiting.set(question, setTimeout(late, deadlineMs));
    },
    answered,
    close() {
      signal.removeEventListener("abort", endFromOutside);
      for (const question of waiting.keys()) answered(question);
    },
  };
}
