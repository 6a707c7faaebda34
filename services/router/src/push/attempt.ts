import type { Logger } from "@bimip/runtime";
import { pauseMs } from "./backoff.js";
import type { Retry } from "./mark.js";
import type { PushMetrics } from "./metrics.js";
import type { Outcome, Push, Target } from "./provider.js";

/** Once the webhook has a message, a web push that fails is tried so often in all, so that it does not hold up the next message for long. */
const TRIES_BESIDE_WEBHOOK = 3;
/** For the same reason: a push service that wants to be left alone for longer is not tried again, or before it wants to be. */
const LONGEST_PAUSE_BESIDE_WEBHOOK_MS = 30_000;

/** How a try left a push. */
export type Attempted =
  | { readonly kind: "done"; readonly retry: Retry }
  | { readonly kind: "again"; readonly retry: Retry }
  | { readonly kind: "dead"; readonly retry: Retry; readonly failures: Readonly<Record<string, string>> };

/** Tries every target that has not been done with yet, all at once. */
export async function attempt(
  parts: { metrics: PushMetrics; logger: Logger; maxTries: number; retryMs: number },
  push: Push,
  targets: readonly Target[],
  before: Retry | undefined,
): Promise<Attempted> {
  const done = new Set(before?.done);
  const failures: Record<string, string> = {};
  const askedMs = { webhook: 0, web_push: 0 };
  const tryOne = async (target: Target): Promise<void> => {
    const outcome: Outcome = await target.post(push);
    const { name, provider } = target;
    parts.metrics.pushes.inc({ provider, outcome: outcome.kind });
    if (outcome.kind === "failed") {
      failures[name] = outcome.reason;
      askedMs[provider] = Math.max(askedMs[provider], outcome.retryAfterMs ?? 0);
      return;
    }
    done.add(name);
    if (outcome.kind === "refused") {
      parts.logger.warn({ push: push.id, provider, reason: outcome.reason }, "push refused, not repeated");
    }
  };
  await Promise.all(targets.filter(({ name }) => !done.has(name)).map(tryOne));

  const failed = Object.keys(failures).length > 0;
  const tries = (before?.tries ?? 0) + (failed ? 1 : 0);
  const besideWebhook = targets.some(({ provider }) => provider === "webhook");
  const longest = besideWebhook ? LONGEST_PAUSE_BESIDE_WEBHOOK_MS : Infinity;
  const asked = Math.max(askedMs.webhook, Math.min(askedMs.web_push, longest));
  const pause = failed ? pauseMs(tries, parts.retryMs, asked) : 0;
  const { epoch, index } = push;
  const retry: Retry = { epoch, index, tries, notBeforeMs: Date.now() + pause, done: [...done] };
  if (!failed) return { kind: "done", retry };
  parts.logger.warn({ push: push.id, failures, tries, pauseMs: pause }, "push failed");
  const webhookHasIt = targets.some(({ name, provider }) => provider === "webhook" && done.has(name));
  if (webhookHasIt && askedMs.web_push > longest) return { kind: "dead", retry, failures };
  const maxTries = webhookHasIt ? Math.min(parts.maxTries, TRIES_BESIDE_WEBHOOK) : parts.maxTries;
  return tries < maxTries ? { kind: "again", retry } : { kind: "dead", retry, failures };
}
