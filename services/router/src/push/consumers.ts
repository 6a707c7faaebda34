import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  ReplayPolicy,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { CONSUMERS, STREAMS } from "@bimip/nats";

/** Marks are taken by one replica at a time, the pinned one. */
export const PIN_GROUP = "router";
/** A pull waits for so long at the server; a new one keeps the pin. */
const PULL_MS = 5_000;
/** A mark that is worked on shows a sign of life within so long, or is delivered again. */
export const MARK_ACK_WAIT_MS = 6_000;
/** A router that is configured without push for so long does not push what was stored meanwhile. */
const FORGOTTEN_AFTER_MS = 7 * 24 * 3_600_000;

const common = {
  ack_policy: AckPolicy.Explicit,
  replay_policy: ReplayPolicy.Instant,
  inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
};

/** Who has something new? On each log partition; shared by all replicas. */
export const logConsumerConfig: ConsumerConfig = {
  ...common,
  durable_name: CONSUMERS.pushOnLog,
  description: "offline push: who has something new?",
  deliver_policy: DeliverPolicy.New,
  headers_only: true,
  ack_wait: nanos(10_000),
  max_ack_pending: 100_000,
};

/**
 * The marks. A new mark is delivered while an older one is still worked on, so NATS gives all marks to one replica, which
 * works on each user serially; when that one asks for none any more, to another. The pin may move sooner, as when the
 * consumer gets a new leader: so that two replicas do not push at the same time, each push is claimed before (Marks).
 *
 * @param timeoutMs how long a provider may take: what the replica began is over when another takes its place
 */
export function markConsumerConfig(timeoutMs: number): ConsumerConfig {
  return {
    ...common,
    durable_name: CONSUMERS.pushMarks,
    description: "offline push: users to look at",
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(MARK_ACK_WAIT_MS),
    // Marks put back for later count too: one per user who is online and has not acknowledged yet.
    max_ack_pending: -1,
    priority_policy: "pinned_client",
    priority_groups: [PIN_GROUP],
    priority_timeout: nanos(10_000 + 4 * timeoutMs),
  };
}

/** Makes a durable consumer, or brings it to the configured shape. */
async function ensureConsumer(jsm: JetStreamManager, stream: string, config: ConsumerConfig): Promise<void> {
  try {
    await jsm.consumers.add(stream, config);
  } catch {
    // It is there with another shape; when it is something else, this says so.
    await jsm.consumers.update(stream, config.durable_name ?? "", config);
  }
}

export interface Consuming {
  /** Whether NATS gives the messages to this replica. Only for consumers with a pin. */
  readonly pinned: boolean;
  /** Takes no new messages; resolves when those that came were handed to `take`. */
  stop(): Promise<void>;
}

/**
 * Hands each message of a durable consumer to `take`, one after the other; while that waits, few more are asked for.
 * Makes the consumer, also anew when NATS has lost it.
 */
export async function consume(options: {
  js: JetStreamClient;
  jsm: JetStreamManager;
  stream: string;
  config: ConsumerConfig;
  maxMessages: number;
  take: (message: JsMsg) => void | Promise<void>;
  onError: (error: unknown) => void;
  onUnpinned?: () => void;
}): Promise<Consuming> {
  const { js, jsm, stream, config, take, onError } = options;
  await ensureConsumer(jsm, stream, config);
  const consumer: Consumer = await js.consumers.get(stream, config.durable_name ?? "");
  const messages = await consumer.consume({
    max_messages: options.maxMessages,
    expires: PULL_MS,
    idle_heartbeat: PULL_MS / 2,
    ...(config.priority_groups === undefined ? {} : { group: PIN_GROUP }),
  });
  let pinned = false;
  const restore = async (): Promise<void> => {
    try {
      await ensureConsumer(jsm, stream, config);
    } catch (error) {
      onError(error);
    }
  };
  const watch = async (): Promise<void> => {
    for await (const { type } of messages.status()) {
      if (type === "consumer_pinned") pinned = true;
      else if (type === "consumer_unpinned") {
        pinned = false;
        options.onUnpinned?.();
      } else if (type === "consumer_not_found" || type === "consumer_deleted") await restore();
    }
  };
  void watch();
  const ended = each(messages, take, onError);
  return {
    get pinned() {
      return pinned;
    },
    async stop() {
      messages.stop();
      await ended;
    },
  };
}

async function each(
  messages: ConsumerMessages,
  take: (message: JsMsg) => void | Promise<void>,
  onError: (error: unknown) => void,
): Promise<void> {
  try {
    for await (const message of messages) {
      try {
        await take(message);
      } catch (error) {
        onError(error);
      }
    }
  } catch (error) {
    onError(error);
  }
}

/** Lets another replica have the marks at once, instead of after the pin's time-out. */
export async function unpin(jsm: JetStreamManager): Promise<void> {
  await jsm.consumers.unpin(STREAMS.push, CONSUMERS.pushMarks, PIN_GROUP);
}
