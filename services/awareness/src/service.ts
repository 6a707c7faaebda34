import { randomUUID } from "node:crypto";
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  AWARENESS_KEY_KINDS,
  BUCKETS,
  BucketFeed,
  CasBucket,
  connectService,
  createAtomicWrite,
  PROCEDURES,
  type Procedure,
  QUEUES,
  reliedOn,
  SUBJECTS,
  serve,
  waitForTopology,
  watchNatsConfig,
} from "@bimip/nats";
import { FlowChangedSchema, type SessionEvent, type SessionEventResSchema } from "@bimip/protocol";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import { Alarms } from "./directory/alarms.js";
import type { AwarenessConfig } from "./config.js";
import { ContactLists } from "./directory/contact-lists.js";
import { createContactHandler } from "./contacts/contact-handler.js";
import { ContactStore } from "./contacts/contact-store.js";
import { pendingRequests } from "./contacts/contact-stanzas.js";
import { Directory } from "./directory/directory.js";
import { Fanout } from "./telling/fanout.js";
import { Claims } from "./sessions/claims.js";
import { createHoldHandler } from "./sessions/hold-handler.js";
import { createLocationHandler } from "./location/location-handler.js";
import { createAwarenessMetrics } from "./metrics.js";
import { RecordsFeed } from "./directory/records-feed.js";
import { Recent } from "./telling/recent.js";
import { NotRegistered, Registry } from "./sessions/registry.js";
import { createSessionsHandler } from "./sessions/sessions-handler.js";
import { createSnapshotHandler } from "./presence/snapshot-handler.js";
import { createStanzaHandler } from "./presence/stanza-handler.js";
import { Sweeper } from "./sessions/sweeper.js";
import { Teller } from "./telling/teller.js";
import { Untold } from "./telling/untold.js";
import { Users } from "./presence/users.js";
import { createVisibilityHandler } from "./presence/visibility-handler.js";

export { readConfig } from "./config.js";

/** Relations kept in memory, some 0.5 KiB each. */
const MAX_RELATIONS = 500_000;
/** Changes before the start that nobody may have told. */
const REPLAYED = 1_000;
/** A gateway's questions wait for 2 s. */
const MAX_WAIT_MS = 1_500;

/**
 * Who is there, who may know, where they are. Sessions, settings and relations stand in one bucket, which every replica follows;
 * presence is what follows from it. Whoever wrote a change tells it to those who may see it.
 */
export async function createAwareness(config: AwarenessConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal } = context;
  const { link, access } = await connectService("awareness", config, context);
  await waitForTopology(link.nc, { signal });
  const promises = reliedOn("awareness", { replicas: config.BIMIP_REPLICAS });
  const unwatch = watchNatsConfig({ link, access, promises, context });
  const replica = randomUUID();
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const directory = new Directory();
  const metrics = createAwarenessMetrics(context.metrics, () => directory.userCount);
  const registry = new Registry({ bucket, known: (eid, device) => directory.session(eid, device), replica });
  const users = new Users({ bucket, known: (eid) => directory.settings(eid), replica });
  const lists = new ContactLists({ link, bucket: BUCKETS.awareness, maxRelations: MAX_RELATIONS });
  const fanout = new Fanout({ nc: link.nc, directory, metrics, replica });
  let feed: BucketFeed | undefined;
  const position = (): number => feed?.position ?? 0;
  const reached = async (revision: number): Promise<void> => feed?.reached(revision);
  const caughtUp = async (): Promise<void> => feed?.caughtUp();
  const teller = new Teller({
    directory,
    lists,
    fanout,
    metrics,
    logger,
    position,
    maxUpdatesPerS: config.BIMIP_AWARENESS_CONTACTS_PER_SECOND,
  });
  const untold = new Untold({ nc: link.nc, replica, toldUpTo: () => teller.toldUpTo });
  const recent = new Recent();
  const alarms = new Alarms();
  const onError = (error: unknown): void => logger.warn({ err: error }, "awareness bucket, trying again");
  const records = new RecordsFeed({
    replica,
    graceMs: config.BIMIP_OFFLINE_GRACE_MS,
    directory,
    lists,
    teller,
    untold,
    recent,
    tellContact: (eid, value) => void fanout.send([eid], { eid }, { case: "contact", value }),
    alarms,
    registry,
    users,
    onError,
  });
  feed = await BucketFeed.open({
    link,
    bucket: BUCKETS.awareness,
    initialKeys: [`${AWARENESS_KEY_KINDS.session}.>`, `${AWARENESS_KEY_KINDS.user}.>`],
    onEntry: (entry) => records.take(entry),
    replayed: REPLAYED,
    onReset: () => records.reset(),
    onError,
  });
  link.onChange((up) => {
    if (up) recent.tellAgain();
  });
  const sweeper = new Sweeper({ link, directory, registry, metrics, logger });
  sweeper.start().catch((error: unknown) => logger.error({ err: error }, "gateways are not watched"));

  const answer = <Req extends DescMessage, Res extends DescMessage>(
    procedure: Procedure<Req, Res>,
    handle: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
  ): void => {
    const label = { procedure: procedure.subject };
    const onFailure = (error: unknown): void => {
      if (error instanceof NotRegistered) return;
      metrics.failures.inc(label);
      logger.warn({ err: error, ...label }, "question not answered");
    };
    serve(link.nc, procedure, QUEUES.awareness, handle, onFailure, { maxWaitMs: MAX_WAIT_MS, places: 256 });
  };
  const claims = new Claims(link.nc);
  const open = async (event: SessionEvent): Promise<MessageInitShape<typeof SessionEventResSchema>> => {
    const { epoch, contested, tookOver } = await registry.open(event);
    if (epoch > 0) claims.tell(event, epoch, tookOver);
    return { epoch: BigInt(epoch), contested: BigInt(contested) };
  };
  answer(PROCEDURES.sessionEvent, async (event) => {
    metrics.sessionEvents.inc({ event: event.open ? "open" : "close" });
    return event.open ? open(event) : { epoch: BigInt(await registry.close(event)) };
  });
  const answerHold = createHoldHandler({
    directory,
    hold: (event) => registry.hold(event),
    caughtUp,
    onReopened(event, epoch) {
      metrics.reopened.inc();
      claims.tell(event, epoch, true);
    },
    onStale: () => metrics.stale.inc(),
  });
  answer(PROCEDURES.hold, answerHold);
  answer(PROCEDURES.sessions, createSessionsHandler({ directory, caughtUp }));
  answer(
    PROCEDURES.awareness,
    createStanzaHandler({ registry, users, directory, lists, teller, fanout, reached, caughtUp }),
  );
  answer(PROCEDURES.visibility, createVisibilityHandler({ users, fanout, reached }));
  answer(PROCEDURES.location, createLocationHandler({ directory, lists, fanout, caughtUp }));
  answer(PROCEDURES.snapshot, createSnapshotHandler({ directory, lists, pendingRequests, caughtUp, position }));
  const answerContact = createContactHandler({
    store: new ContactStore({ bucket, write: createAtomicWrite(link.nc, BUCKETS.awareness) }),
    lists,
    // Once the feed is there: a device that registers meanwhile hears of it, or finds it in its snapshot.
    tellUser(eid, value, notDevice) {
      const tell = (): void => void fanout.send([eid], { eid, notDevice }, { case: "contact", value });
      caughtUp().then(tell, tell);
    },
    flowChanged(eid, otherEid) {
      const message = create(FlowChangedSchema, { eid, otherEid });
      link.nc.publish(SUBJECTS.flowChanged, toBinary(FlowChangedSchema, message));
    },
    replica,
    maxContacts: config.BIMIP_MAX_CONTACTS,
    metrics: context.metrics,
  });
  answer(PROCEDURES.contact, async (request) => {
    await caughtUp(); // what was answered by another replica is in the list
    const response = await answerContact(request);
    // Who was told that it is done finds it so. What is done is answered nevertheless.
    await caughtUp().catch(onError);
    return response;
  });
  await link.nc.flush();
  health.set("nats", true);
  link.onChange((up) => health.set("nats", up, up ? undefined : "disconnected"));
  return {
    async stop() {
      unwatch();
      sweeper.stop();
      claims.stop();
      untold.stop();
      teller.stop();
      fanout.stop();
      feed.stop();
      alarms.clearAll();
      await link.nc.drain();
    },
  };
}
