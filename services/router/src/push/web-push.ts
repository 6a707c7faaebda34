import webPush from "web-push";
import { isAllowedEndpoint } from "@bimip/runtime";
import { failure, isSuccess, post } from "./post.js";
import type { Outcome, Push, Target } from "./provider.js";
import type { WebPushConfig } from "./push-config.js";

/** Push services take 4,096 bytes after encryption, some less. */
const MAX_PAYLOAD_BYTES = 3_072;
/** How long a push service keeps what it cannot deliver. */
const TTL_S = 7 * 24 * 3_600;

/** A browser's subscription as storage keeps it: the JSON of PushSubscription. */
export interface StoredSubscription {
  readonly device: string;
  readonly subscription: string;
}

/** Pushes to one browser, encrypted for it (RFC 8291). `remove` is called when its push service says that it is gone. */
export function createWebPush(
  config: WebPushConfig,
  stored: StoredSubscription,
  options: { timeoutMs: number; remove: () => Promise<void> },
): Target {
  return {
    name: `web_push ${stored.device}`,
    provider: "web_push",
    async post(push): Promise<Outcome> {
      const request = requestFor(config, stored.subscription, push);
      if ("reason" in request) return { kind: "refused", reason: request.reason };
      const answer = await post({ ...request, timeoutMs: options.timeoutMs });
      if (isSuccess(answer)) return { kind: "ok" };
      const { status } = answer;
      if (status === 404 || status === 410) {
        try {
          await options.remove();
        } catch {
          return { kind: "failed", reason: "gone, but not removed yet", retryAfterMs: undefined };
        }
        return { kind: "gone" };
      }
      // The other 4xx complain about the request itself, which a repeat does not change.
      const hopeless = status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429;
      return hopeless ? { kind: "refused", reason: `HTTP ${status}` } : failure(answer);
    },
  };
}

interface WebPushRequest {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

function requestFor(config: WebPushConfig, subscription: string, push: Push): WebPushRequest | { reason: string } {
  try {
    const parsed = JSON.parse(subscription) as webPush.PushSubscription;
    if (!isAllowedEndpoint(parsed.endpoint, config.hosts)) return { reason: "host not in BIMIP_WEBPUSH_HOSTS" };
    const { subject, publicKey, privateKey } = config;
    const { endpoint, headers, body } = webPush.generateRequestDetails(parsed, webPushPayload(push), {
      vapidDetails: { subject, publicKey, privateKey },
      TTL: TTL_S,
      urgency: "high",
      contentEncoding: "aes128gcm",
    });
    // fetch computes the length and refuses to be told.
    const { "Content-Length": _length, ...rest } = headers;
    return { url: endpoint, headers: rest, body };
  } catch {
    return { reason: "not a usable PushSubscription" };
  }
}

/** What the service worker gets: small, and the text only where the whole of it fits. */
export function webPushPayload(push: Push): string {
  const { id, from, kind, badge, type, text } = push;
  const payload = { id, from, kind, badge };
  const fitting = [{ ...payload, type, text }, { ...payload, type }, payload].map((candidate) =>
    JSON.stringify(candidate),
  );
  return fitting.find((json) => Buffer.byteLength(json) <= MAX_PAYLOAD_BYTES) ?? JSON.stringify({ id, kind, badge });
}
