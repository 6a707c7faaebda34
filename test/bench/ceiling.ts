import { createInbox } from "@nats-io/nats-core";
import { jetstreamManager } from "@nats-io/jetstream";
import { connectNats, type NatsAccess } from "@bimip/nats";

/**
 * What one connection can draw from this nats-server: acknowledged JetStream publishes per second, with republish and
 * one subscriber that counts them, `inFlight` unacknowledged at a time.
 */
export async function measureCeiling(
  nats: NatsAccess,
  options: { inFlight: number; payloadBytes: number; subjects: number; seconds: number },
): Promise<number> {
  const publisher = await connectNats({ ...nats, name: "bench ceiling publisher" });
  const subscriber = await connectNats({ ...nats, name: "bench ceiling subscriber" });
  const jsm = await jetstreamManager(publisher.nc);
  const name = "CEILING";
  await jsm.streams.add({
    name,
    subjects: ["ceiling.in.*"],
    republish: { src: "ceiling.in.*", dest: "ceiling.out.{{wildcard(1)}}" },
    num_replicas: 1,
  });
  let received = 0;
  subscriber.nc.subscribe("ceiling.out.*", { callback: () => void received++ });
  await subscriber.nc.flush();

  const payload = Buffer.alloc(options.payloadBytes, "x");
  const inbox = createInbox();
  let stored = 0;
  let sent = 0;
  let running = true;
  const publish = (): void => {
    publisher.nc.publish(`ceiling.in.${sent % options.subjects}`, payload, { reply: `${inbox}.${sent++}` });
  };
  publisher.nc.subscribe(`${inbox}.*`, {
    callback: () => {
      stored++;
      if (running) publish();
    },
  });
  for (let n = 0; n < options.inFlight; n++) publish();
  await sleep(500);
  const [storedBefore, started] = [stored, performance.now()];
  await sleep(options.seconds * 1_000);
  const perSecond = ((stored - storedBefore) * 1_000) / (performance.now() - started);
  running = false;
  for (let tries = 0; tries < 200 && received < sent; tries++) await sleep(25);
  if (received < sent) throw new Error(`ceiling: ${sent - received} of ${sent} copies did not come`);
  await jsm.streams.delete(name);
  await publisher.nc.close();
  await subscriber.nc.close();
  return perSecond;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
