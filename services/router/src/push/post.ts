import type { Outcome } from "./provider.js";

/** An HTTP request of a provider. */
export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  readonly timeoutMs: number;
}

/** The answer's status, or why there is none. */
export type PostAnswer =
  | { readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly status: undefined; readonly reason: string };

/** Posts; follows no redirect, which could lead anywhere. Never rejects. */
export async function post(request: PostRequest): Promise<PostAnswer> {
  const { url, headers, body, timeoutMs } = request;
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    // Read, so that the connection can be used again; whatever becomes of it, the status is known.
    await response.arrayBuffer().catch(() => undefined);
    return { status: response.status, retryAfterMs: retryAfterMs(response.headers.get("retry-after"), Date.now()) };
  } catch (error) {
    return { status: undefined, reason: reasonOf(error) };
  }
}

/** What an answer other than a 2xx means when it is to be tried again. */
export function failure(answer: PostAnswer): Outcome {
  if (answer.status === undefined) return { kind: "failed", reason: answer.reason, retryAfterMs: undefined };
  const mayTellWhen = answer.status === 429 || answer.status === 503;
  return {
    kind: "failed",
    reason: `HTTP ${answer.status}`,
    retryAfterMs: mayTellWhen ? answer.retryAfterMs : undefined,
  };
}

export function isSuccess(answer: PostAnswer): boolean {
  return answer.status !== undefined && answer.status >= 200 && answer.status < 300;
}

/** `Retry-After` as milliseconds from now; seconds or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(value: string | null, nowMs: number): number | undefined {
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** Never the URL or the headers: they may hold secrets. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  if (error.name === "TimeoutError") return "timed out";
  const { cause } = error;
  return cause instanceof Error && "code" in cause ? String(cause.code) : error.name;
}
