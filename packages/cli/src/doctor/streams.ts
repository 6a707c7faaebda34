import { JetStreamApiCodes, JetStreamApiError, type JetStreamManager, type StreamInfo } from "@nats-io/jetstream";
import {
  CONSUMERS,
  logStream,
  STREAMS,
  type StreamShape,
  streamProblems,
  streamShapes,
  type TopologyOptions,
} from "@bimip/nats";
import { fail, type Finding, ok, textOf, warn } from "./finding.js";

/** What the environment says of the topology; undefined: it does not. */
export type GivenTopology = { readonly [K in "replicas" | "dedupeWindowS" | "logMaxAgeS"]: number | undefined };

const BEHIND = 1_000;

/**
 * Every stream and bucket: its shape, its leader, its replicas. What the environment does not say is taken from the first
 * log: then at least they all agree.
 *
 * @param partitions as in the meta bucket
 */
export async function checkStreams(
  jsm: JetStreamManager,
  partitions: number,
  given: GivenTopology,
): Promise<Finding[]> {
  const first = await jsm.streams.info(logStream(0)).catch(() => undefined);
  const topology: TopologyOptions = {
    partitions,
    replicas: given.replicas ?? first?.config.num_replicas ?? 1,
    dedupeWindowS: given.dedupeWindowS ?? (first?.config.duplicate_window ?? 0) / 1e9,
    logMaxAgeS: given.logMaxAgeS ?? (first?.config.max_age ?? 0) / 1e9,
  };
  const findings: Finding[] = [];
  for (const shape of streamShapes(topology)) findings.push(...(await checkStream(jsm, shape)));
  return findings;
}

async function checkStream(jsm: JetStreamManager, shape: StreamShape): Promise<Finding[]> {
  let info: StreamInfo;
  try {
    info = await jsm.streams.info(shape.name);
  } catch (error) {
    const isMissing = error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
    if (isMissing) return [fail(shape.name, "is missing", "start storage: it makes all streams")];
    return [fail(shape.name, `is not told of: ${textOf(error)}`, "see the logs of nats-server: it may have no leader")];
  }
  const problems = streamProblems(info.config, { shape });
  if (problems.length > 0) {
    const hint = "storage brings it to the configured shape when it starts; what it cannot change its log names";
    return problems.map((problem) => fail(shape.name, problem.slice(shape.name.length + 2), hint));
  }
  return [ok(shape.name, describe(info)), ...replicasOf(info)];
}

function describe({ config, state, cluster }: StreamInfo): string {
  const leader = cluster?.leader === undefined || cluster.leader === "" ? "" : `, leader ${cluster.leader}`;
  return `as configured, replicas: ${config.num_replicas}${leader}, messages: ${state.messages}`;
}

function replicasOf({ config, cluster }: StreamInfo): Finding[] {
  const { name } = config;
  if (config.num_replicas > 1 && (cluster?.leader ?? "") === "")
    return [fail(name, "has no leader", "most of its servers are away: see nats-server's logs")];
  return (cluster?.replicas ?? []).flatMap((replica) => {
    if (replica.offline) return [fail(name, `replica on ${replica.name} is offline`, "start that server")];
    const lag = replica.lag ?? 0;
    if (!replica.current || lag > BEHIND)
      return [
        warn(name, `replica on ${replica.name} is ${lag} behind`, "it catches up by itself; see its disk if not"),
      ];
    return [];
  });
}

/** What waits to be pushed to devices that are away. */
export async function checkConsumers(jsm: JetStreamManager, partitions: number): Promise<Finding[]> {
  const wanted = [
    ...Array.from({ length: partitions }, (_, partition) => [logStream(partition), CONSUMERS.pushOnLog] as const),
    [STREAMS.push, CONSUMERS.pushMarks] as const,
  ];
  const findings: Finding[] = [];
  let missing = 0;
  for (const [stream, consumer] of wanted) {
    const about = `${stream} ${consumer}`;
    try {
      const { num_pending: waiting, num_ack_pending: taken } = await jsm.consumers.info(stream, consumer);
      findings.push(ok(about, `consumer of offline push: ${waiting} wait, ${taken} taken`));
    } catch (error) {
      const isMissing = error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound;
      if (isMissing) missing++;
      else findings.push(fail(about, `is not told of: ${textOf(error)}`, "see the logs of nats-server"));
    }
  }
  if (missing === wanted.length) return [ok("offline push", "no consumers: it is not configured")];
  if (missing > 0)
    findings.push(fail("offline push", `${missing} of ${wanted.length} consumers are missing`, "restart the router"));
  return findings;
}
