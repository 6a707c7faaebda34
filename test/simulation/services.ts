import { create, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { PROCEDURES, type Procedure, QUEUES, serve, SUBJECTS } from "@bimip/nats";
import { type ResumeRequest, SessionClaimSchema, type SessionEvent, SessionEventSchema } from "@bimip/protocol";
import { Registry } from "../../services/awareness/src/sessions/registry.js";
import type { StorageMetrics } from "../../services/storage/src/metrics.js";
import { mergeProgress } from "../../services/storage/src/progress.js";
import { ReceiptStore } from "../../services/storage/src/receipt-store.js";
import { resume } from "../../services/storage/src/resume.js";
import { UserStore } from "../../services/storage/src/user-store.js";
import { Bucket, createEpochs, createReader } from "./log-reads.js";
import type { Nats } from "./nats.js";
import { NatsLink } from "./nats-link.js";
import { quietMetrics } from "./quiet.js";
import { Process } from "./world.js";

/** The buckets of the installation. */
export interface Buckets {
  readonly users: Bucket;
  readonly receipts: Bucket;
  readonly sessions: Bucket;
}

type Answer = <Req extends DescMessage, Res extends DescMessage>(
  procedure: Procedure<Req, Res>,
  queue: string,
  handle: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
) => void;

/** Starts a service of its own name; `begin` runs inside of it. */
function start(nats: Nats, name: string, begin: (link: NatsLink, answer: Answer) => void): Process {
  const process = new Process(name);
  const link = new NatsLink(nats, process);
  nats.world.schedule(process, 0, "start", () =>
    begin(link, (procedure, queue, handle) => {
      serve(link.nc, procedure, queue, handle, (error) => nats.world.note(() => `${name}: ${String(error)}`));
    }),
  );
  return process;
}

/** Storage: the real rules over buckets and logs of the simulation. */
export function startStorage(
  nats: Nats,
  name: string,
  buckets: Buckets,
  partitions: number,
  onResume: (request: ResumeRequest, after: number) => void,
): Process {
  return start(nats, name, (link, answer) => {
    const reader = createReader(nats, link, partitions);
    const epochs = createEpochs(nats, link, partitions);
    const metrics: StorageMetrics = quietMetrics((what) => nats.world.count(what));
    const store = new UserStore({ bucket: buckets.users.through(nats, link), epochs, onForgotten: () => undefined });
    const receipts = new ReceiptStore(buckets.receipts.through(nats, link), epochs);
    answer(PROCEDURES.resume, QUEUES.storage, async (request) => {
      const response = await resume({ store, reader, epochs, metrics, maxAgeMs: 0 }, request);
      onResume(request, Number(response.after));
      return response;
    });
    answer(PROCEDURES.progress, QUEUES.storage, (request) =>
      mergeProgress({ store, receipts, epochs, metrics }, request),
    );
    answer(PROCEDURES.receipts, QUEUES.storage, (request) => receipts.given(request));
  });
}

/** Awareness: the registry of sessions. Nobody has contacts. */
export function startAwareness(nats: Nats, buckets: Buckets): Process {
  return start(nats, "awareness", (link, answer) => {
    const bucket = buckets.sessions.through(nats, link);
    const registry = new Registry({ bucket, known: () => undefined, replica: "awareness" });
    const claim = ({ eid, device, sessionId }: SessionEvent, epoch: number): void => {
      const told = create(SessionClaimSchema, { device, sessionId, epoch: BigInt(epoch) });
      if (epoch > 0) link.publish(SUBJECTS.claim(eid), toBinary(SessionClaimSchema, told));
    };
    answer(PROCEDURES.sessionEvent, QUEUES.awareness, async (event) => {
      if (!event.open) return { epoch: BigInt(await registry.close(event)) };
      const { epoch, contested } = await registry.open(event);
      claim(event, epoch);
      return { epoch: BigInt(epoch), contested: BigInt(contested) };
    });
    answer(PROCEDURES.hold, QUEUES.awareness, async ({ node, gateway, sessions }) => {
      const stale: string[] = [];
      for (const session of sessions) {
        const event = create(SessionEventSchema, { ...session, node, gateway });
        const held = await registry.hold(event);
        claim(event, held.epoch);
        if (held.stale) stale.push(session.sessionId);
      }
      return { stale };
    });
    answer(PROCEDURES.snapshot, QUEUES.awareness, async ({ revision }) => ({ revision }));
  });
}

/** Router: everybody may write to everybody. */
export function startRouter(nats: Nats): Process {
  return start(nats, "router", (_link, answer) => {
    answer(PROCEDURES.flow, QUEUES.router, async () => ({ code: 0, details: "" }));
  });
}

type OnWritten = (key: string, bytes: Uint8Array) => void;

export function createBuckets(onUser: OnWritten, onReceipts: OnWritten): Buckets {
  return { users: new Bucket(onUser), receipts: new Bucket(onReceipts), sessions: new Bucket() };
}
