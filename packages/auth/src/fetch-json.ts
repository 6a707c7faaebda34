import { KeyError } from "./key-error.js";

export interface FetchLimits {
  /** For all of it, from the connection to the last byte. */
  readonly timeoutMs: number;
  /** Of the body as it is after decompression. */
  readonly maxBytes: number;
}

/**
 * The JSON at an address. Redirects are not followed: they could lead anywhere.
 *
 * @throws KeyError saying what is wrong with the answer; it holds nothing of the body
 */
export async function fetchJson(url: string, { timeoutMs, maxBytes }: FetchLimits): Promise<unknown> {
  let text: string;
  try {
    const headers = { accept: "application/jwk-set+json, application/json" };
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { headers, signal, redirect: "manual" });
    if (response.status !== 200) {
      await response.body?.cancel();
      const redirect = response.status >= 300 && response.status < 400 ? ", and redirects are not followed" : "";
      throw new KeyError(`answered with HTTP ${response.status}${redirect}`);
    }
    text = await readText(response, maxBytes);
  } catch (error) {
    if (error instanceof KeyError) throw error;
    throw new KeyError(reasonOf(error, timeoutMs), { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyError("answered with something that is not JSON");
  }
}

async function readText({ body }: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the rest of the body.
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new KeyError(`answered with more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return "did not answer";
  if (error.name === "TimeoutError") return `did not answer within ${timeoutMs} ms`;
  const { cause } = error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : error.name;
  return `did not answer: ${code}`;
}
