import type { Device } from "./device.js";
import type { SimGateway } from "./gateway.js";
import type { NatsLink } from "./nats-link.js";
import type { Simulation } from "./simulation.js";

/** What can go wrong, or be asked for at a bad moment. */
export type Fault = keyof typeof FAULTS;

/** Makes it happen now. */
export function breakSomething(simulation: Simulation, fault: Fault): void {
  FAULTS[fault](simulation);
}

const BEYOND_EVERY_HEAD = 1_000_000;

const FAULTS = {
  // NATS
  copiesLost: (s: Simulation) => trouble(s, { copyLoss: s.world.dice.pick([0.1, 0.5, 1]) }, [50, 3_000]),
  acksLost: (s: Simulation) =>
    trouble(s, { ackLoss: s.world.dice.pick([0.1, 0.5, 1]), ackDuplicate: 0.2 }, [50, 4_000]),
  answersLost: (s: Simulation) => trouble(s, { answerLoss: s.world.dice.pick([0.05, 0.3]) }, [500, 8_000]),
  slowReads: (s: Simulation) => trouble(s, { readMs: s.world.dice.pick([20, 500, 2_000]) }, [200, 6_000]),
  late: (s: Simulation) => trouble(s, { lateMs: s.world.dice.between(5, 4_000) }, [100, 5_000]),
  stale: (s: Simulation) => trouble(s, { staleMs: s.world.dice.between(10, 4_000) }, [500, 8_000]),
  leader(s: Simulation) {
    const { dice } = s.world;
    const stream = dice.pick([...s.nats.streams.values()]);
    const ms = dice.pick([20, 1_000, dice.between(4_000, 9_000)]);
    if (dice.chance(0.5)) stream.electAmid(ms);
    else stream.elect(ms);
  },
  outage: (s: Simulation) => s.nats.outage(s.world.dice.pick([50, 1_000, s.world.dice.between(5_000, 30_000)])),
  natsCut: (s: Simulation) => linkOf(s).cut(s.world.dice.chance(0.3)),
  natsStall: (s: Simulation) => linkOf(s).stall(s.world.dice.pick([100, 3_000, s.world.dice.between(10_000, 20_000)])),
  // processes
  gatewayKill(s: Simulation) {
    const gateway = gatewayOf(s);
    if (gateway === undefined) return;
    gateway.kill();
    s.later(s.world.dice.between(50, 5_000), () => s.startGateway());
  },
  gatewayFreeze(s: Simulation) {
    gatewayOf(s)?.process.freeze(s.world.nowMs + freezeMs(s));
  },
  serviceFreeze(s: Simulation) {
    s.world.dice.pick(s.services).freeze(s.world.nowMs + freezeMs(s));
  },
  deviceKill(s: Simulation) {
    const busy = s.devices.filter((candidate) => candidate.running && candidate.busy);
    const device = busy.length > 0 ? s.world.dice.pick(busy) : deviceOf(s);
    if (device === undefined) return;
    device.kill();
    s.later(s.world.dice.between(10, 8_000), () => device.start());
  },
  /** It sends, hears no answer, and is away for longer than the stream knows ids. */
  absent(s: Simulation) {
    const { dice, nowMs } = s.world;
    const device = deviceOf(s);
    device?.send(dice.pick(s.devices).eid);
    s.later(dice.between(1, 8), () => {
      device?.connection?.break(20, 20);
      device?.process.freeze(nowMs + s.scenario.dedupeWindowMs + dice.between(500, 8_000));
    });
  },
  deviceFreeze(s: Simulation) {
    deviceOf(s)?.process.freeze(s.world.nowMs + freezeMs(s));
  },
  // connections
  socketCut(s: Simulation) {
    const { dice } = s.world;
    const hears = (): number | undefined => (dice.chance(0.7) ? dice.between(0.1, 50) : undefined);
    deviceOf(s)?.connection?.break(hears(), hears());
  },
  socketStall: (s: Simulation) =>
    deviceOf(s)?.connection?.stall(s.world.dice.pick([50, 1_000, s.world.dice.between(2_000, 15_000)])),
  // what a device may ask for
  resume(s: Simulation) {
    const { dice } = s.world;
    const device = deviceOf(s);
    if (device === undefined) return;
    // Never behind what it has not got: that would be its own doing.
    const asked = dice.pick([0, -1, dice.int(0, device.lastIndex), device.lastIndex, BEYOND_EVERY_HEAD]);
    for (let times = dice.chance(0.3) ? 2 : 1; times > 0; times--) device.resume(asked);
  },
  overstate(s: Simulation) {
    const device = deviceOf(s);
    device?.overstate(Math.max(1, s.truth.head(device.eid) + s.world.dice.int(-2, 20)));
  },
  expire(s: Simulation) {
    const { dice } = s.world;
    const { eid } = dice.pick(s.devices);
    const head = s.truth.head(eid);
    if (head > 0) s.streamOf(eid).trim(eid, dice.chance(0.3) ? head : dice.int(1, head));
  },
} satisfies Record<string, (simulation: Simulation) => void>;

function trouble(
  s: Simulation,
  change: Partial<Simulation["nats"]["trouble"]>,
  lasts: readonly [number, number],
): void {
  Object.assign(s.nats.trouble, change);
  s.later(s.world.dice.between(...lasts), () => {
    for (const key of Object.keys(change) as (keyof typeof change)[]) s.nats.trouble[key] = 0;
  });
}

function linkOf(s: Simulation): NatsLink {
  return s.world.dice.pick([...s.nats.links]);
}

function gatewayOf(s: Simulation): SimGateway | undefined {
  const alive = s.gateways.filter(({ process }) => process.alive);
  return alive.length === 0 ? undefined : s.world.dice.pick(alive);
}

function deviceOf(s: Simulation): Device | undefined {
  const running = s.devices.filter((device) => device.running);
  return running.length === 0 ? undefined : s.world.dice.pick(running);
}

function freezeMs(s: Simulation): number {
  return s.world.dice.pick([20, 500, s.world.dice.between(2_000, 20_000)]);
}
