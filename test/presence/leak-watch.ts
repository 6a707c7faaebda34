import { type Awareness, AwarenessStatus, AwarenessType, type LocationStream } from "@bimip/protocol";
import type { Device } from "../kit/device.js";
import { maySee, type PresenceModel } from "./model.js";
import type { Side } from "./relations.js";

/** Everything that held at some time of a round: what is told meanwhile may be true at any of these times. */
interface Window {
  readonly sides: Map<string, Set<Side>>;
  readonly open: Map<string, Set<boolean>>;
  readonly visibilities: Map<string, Set<number>>;
}

/** Sees to it that nobody is ever told anything of somebody whom they may not see. */
export class LeakWatch {
  readonly #model: PresenceModel;
  readonly #eids: readonly string[];
  readonly #looked = new Map<Device, { count: number; readonly known: Set<string> }>();
  #beganAtMs = 0;
  #window: Window = { sides: new Map(), open: new Map(), visibilities: new Map() };

  constructor(model: PresenceModel, eids: readonly string[]) {
    this.#model = model;
    this.#eids = eids;
  }

  /** A round begins: what was before does not count any more. */
  begin(): void {
    this.#window = { sides: new Map(), open: new Map(), visibilities: new Map() };
    this.#beganAtMs = Date.now();
    this.note();
  }

  /** The model is about to change, or has changed. */
  note(): void {
    const { sides, open, visibilities } = this.#window;
    for (const viewer of this.#eids) {
      add(visibilities, viewer, this.#model.visibilityOf(viewer));
      for (const seen of this.#eids) {
        const pair = `${viewer} ${seen}`;
        add(sides, pair, this.#model.relations.side(viewer, seen));
        add(open, pair, this.#model.relations.isOpen(viewer, seen));
      }
    }
  }

  /** What came to this device since the last call and should not have, in words. */
  leaks(device: Device): string[] {
    const { eid: viewer } = device;
    const looked = this.#looked.get(device) ?? { count: 0, known: new Set<string>() };
    this.#looked.set(device, looked);
    const leaks: string[] = [];
    for (const { kind, value } of device.received.slice(looked.count)) {
      const all =
        kind === "body" ? value.awarenessList : kind === "awareness" || kind === "locationStream" ? [value] : [];
      for (const one of all) {
        const seen = one.from?.eid ?? "";
        const to = one.to?.eid ?? viewer;
        const hides = "status" in one && isOffline(one) && (looked.known.has(seen) || this.#saysNothing(one));
        if (to !== viewer) leaks.push(`${viewer} got what was for ${to}`);
        if (seen !== viewer && !hides && !this.#mightSee(viewer, seen))
          leaks.push(`${viewer} was told of ${seen}: ${inWords(one)}`);
        looked.known.add(seen);
      }
    }
    looked.count = device.received.length;
    return leaks;
  }

  /** OFFLINE, since now: what a server says that is not sure whether it has to hide somebody. Last seen would be something. */
  #saysNothing({ from, details, timestamp }: Awareness): boolean {
    return from?.connectionResourceId === undefined && details === "" && Number(timestamp) >= this.#beganAtMs;
  }

  #mightSee(viewer: string, seen: string): boolean {
    const { sides, open, visibilities } = this.#window;
    const pair = `${viewer} ${seen}`;
    return [...(visibilities.get(seen) ?? [])].some((visibility) =>
      [...(sides.get(pair) ?? [])].some((side) =>
        [...(open.get(pair) ?? [])].some((isOpen) => maySee(side, isOpen, visibility)),
      ),
    );
  }
}

function inWords(stanza: Awareness | LocationStream): string {
  return JSON.stringify(stanza, (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
}

function isOffline({ type, status }: Awareness): boolean {
  return type === AwarenessType.PRESENCE && status === AwarenessStatus.OFFLINE;
}

function add<T>(to: Map<string, Set<T>>, key: string, value: T): void {
  const values = to.get(key) ?? new Set<T>();
  to.set(key, values.add(value));
}
