import { createHmac } from "node:crypto";
import { failure, isSuccess, post } from "./post.js";
import type { Push, Target } from "./provider.js";
import type { WebhookConfig } from "./push-config.js";

/** Posts pushes as signed JSON. docs/push.md is the contract with receivers. */
export function createWebhook(config: WebhookConfig, timeoutMs: number): Target {
  return {
    name: "webhook",
    provider: "webhook",
    async post(push) {
      const body = JSON.stringify(webhookBody(push));
      const timestampS = Math.floor(Date.now() / 1_000);
      const headers = {
        "Content-Type": "application/json",
        "User-Agent": "bimip",
        "Idempotency-Key": push.id,
        "Bimip-Timestamp": String(timestampS),
        "Bimip-Signature": sign(config.secret, timestampS, body),
      };
      const answer = await post({ url: config.url, headers, body, timeoutMs });
      return isSuccess(answer) ? { kind: "ok" } : failure(answer);
    },
  };
}

/** `v1=` and the hex HMAC-SHA256 of "<timestamp>.<body>": the timestamp is signed too, so that an old call cannot be replayed. */
export function sign(secret: string, timestampS: number, body: string): string {
  return `v1=${createHmac("sha256", secret).update(`${timestampS}.${body}`).digest("hex")}`;
}

function webhookBody(push: Push): object {
  const { id, eid, kind, stanza, index, badge, storedAtMs, online } = push;
  return {
    id,
    eid,
    kind,
    stanza,
    monotonic_id: index,
    badge,
    timestamp: storedAtMs,
    online,
    reason: online ? "unacknowledged" : "offline",
  };
}
