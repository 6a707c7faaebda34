import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connectNats, type Link, logStream } from "@bimip/nats";

const ASK_EVERY_MS = 300;
const ANSWER_MS = 1_000;

/** Who leads the log streams, and how often that changed. */
export interface LeaderWatch {
  /** Changes seen: a stream that another node leads than before. */
  readonly changes: number;
  /** The node that led this partition when it was last seen; undefined before the first answer. */
  leader(partition: number): string | undefined;
  stop(): Promise<void>;
}

/** Asks through a connection to each node, so that one that hangs hides nothing. */
export async function watchLeaders(servers: readonly string[], partitions: number): Promise<LeaderWatch> {
  const links: Link[] = await Promise.all(
    servers.map((server, at) => connectNats({ servers: server, name: `leader watch ${at + 1}` })),
  );
  const managers: JetStreamManager[] = await Promise.all(
    links.map(({ nc }) => jetstreamManager(nc, { checkAPI: false, timeout: ANSWER_MS })),
  );
  const leaders = new Map<number, string>();
  let changes = 0;
  const ask = async (partition: number): Promise<void> => {
    const up = managers.filter((_, at) => links[at]?.up);
    // Only a stream's leader answers for it.
    const info = await Promise.any(up.map((manager) => manager.streams.info(logStream(partition)))).catch(
      () => undefined,
    );
    const leader = info?.cluster?.leader;
    if (leader === undefined || leader === "") return;
    const before = leaders.get(partition);
    if (before !== undefined && before !== leader) changes++;
    leaders.set(partition, leader);
  };
  const askAll = async (): Promise<void> => {
    await Promise.all(Array.from({ length: partitions }, (_, partition) => ask(partition)));
  };
  await askAll();
  let asking: Promise<void> = Promise.resolve();
  let isAsking = false;
  const timer = setInterval(() => {
    if (isAsking) return;
    isAsking = true;
    asking = askAll().finally(() => {
      isAsking = false;
    });
  }, ASK_EVERY_MS);
  return {
    get changes() {
      return changes;
    },
    leader: (partition) => leaders.get(partition),
    async stop() {
      clearInterval(timer);
      await asking;
      await Promise.all(links.map(({ nc }) => nc.close()));
    },
  };
}
