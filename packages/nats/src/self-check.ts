import { JetStreamApiCodes, JetStreamApiError, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { ServiceContext } from "@bimip/runtime";
import type { Link } from "./connect.js";
import type { ServiceAccess } from "./nats-access.js";
import { readServers, serverProblems, versionProblem } from "./server-report.js";
import { type StreamPromise, streamProblems } from "./stream-check.js";
import { createTurns } from "./turns.js";

/** The part of a service's health that says whether NATS is what the configuration promises. */
export const NATS_CONFIG = "nats-config";

const AGAIN_WHILE_WRONG_MS = 2_000;
const AGAIN_MS = 60_000;
const QUESTIONS_AT_ONCE = 8;

export interface SelfCheckOptions {
  readonly link: Link;
  readonly access: ServiceAccess;
  /** What the service relies on. */
  readonly promises: readonly StreamPromise[];
  readonly context: Pick<ServiceContext, "health" | "logger" | "signal">;
}

/**
 * Looks whether NATS is what the configuration promises: at the start, after each return of NATS, once a minute, and every two
 * seconds while it is not. Until it was seen so, and while it is not, the service is not ready.
 *
 * @returns the way to stop it
 */
export function watchNatsConfig(options: SelfCheckOptions): () => void {
  const { link, context } = options;
  context.health.set(NATS_CONFIG, false, "not seen yet");
  let timer: NodeJS.Timeout | undefined;
  let said: string | undefined;
  let looking = false;
  const look = async (): Promise<void> => {
    // While NATS is away, its return calls.
    if (looking || context.signal.aborted || (said !== undefined && !link.up)) return;
    looking = true;
    clearTimeout(timer);
    const { problems, isComplete } = await findProblems(options);
    looking = false;
    // Where not all could be seen, what was seen before stands: an election takes nobody's readiness.
    if (problems.length > 0 || isComplete || said === undefined) say(problems, isComplete);
    const isFine = problems.length === 0 && isComplete;
    timer = setTimeout(() => void look(), (isFine ? AGAIN_MS : AGAIN_WHILE_WRONG_MS) * (0.75 + Math.random() / 2));
    timer.unref();
  };
  const say = (problems: readonly string[], isComplete: boolean): void => {
    const text = problems.length > 0 ? problems.join("; ") : isComplete ? "" : "not seen yet: NATS does not answer";
    context.health.set(NATS_CONFIG, text === "", text === "" ? undefined : text);
    if (text === said) return;
    if (problems.length > 0) context.logger.error({ problems }, "NATS is not what the configuration promises");
    else if (said !== undefined && isComplete) context.logger.info("NATS is what the configuration promises");
    said = isComplete || problems.length > 0 ? text : undefined;
  };
  const unlisten = link.onChange((up) => {
    if (up) void look();
  });
  void look();
  return () => {
    unlisten();
    clearTimeout(timer);
    looking = true;
  };
}

async function findProblems(options: SelfCheckOptions): Promise<{ problems: string[]; isComplete: boolean }> {
  const { link, access, promises, context } = options;
  const jsm = await jetstreamManager(link.nc, { checkAPI: false });
  let isComplete = true;
  const incomplete = (error: unknown): string[] => {
    isComplete = false;
    context.logger.debug({ err: error }, "NATS not looked at, trying again");
    return [];
  };
  const version = link.nc.info?.version;
  const own = version === undefined ? [] : [versionProblem(version)].filter((problem) => problem !== undefined);
  const inTurn = createTurns(QUESTIONS_AT_ONCE);
  const ofStreams = await Promise.all(
    promises.map((promise) => inTurn(() => problemsOf(jsm, promise).catch(incomplete))),
  );
  const ofServers =
    access.system === undefined
      ? []
      : await readServers(access.system).then(
          (servers) => serverProblems(servers, access),
          (error: unknown) => {
            // Whoever wants proof goes without readiness while there is none.
            if (access.mustSync)
              return [`fsync is not seen (BIMIP_NATS_SYNC): ${error instanceof Error ? error.message : String(error)}`];
            context.logger.warn({ err: error }, "NATS's system user gets no answer: whether servers fsync is not seen");
            return [];
          },
        );
  return { problems: [...own, ...ofStreams.flat(), ...ofServers], isComplete };
}

async function problemsOf(jsm: JetStreamManager, promise: StreamPromise): Promise<string[]> {
  try {
    return streamProblems((await jsm.streams.info(promise.shape.name)).config, promise);
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound)
      return [`${promise.shape.name}: is missing`];
    throw error;
  }
}
