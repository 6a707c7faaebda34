import { HEADERS, logStream } from "@bimip/nats";
import { tokenToName } from "@bimip/protocol";
import type { Dice } from "./dice.js";
import { Headers, type Nats } from "./nats.js";

/** An entry as it was stored; `gone` when it was trimmed or expired since. */
export interface Stored {
  readonly seq: number;
  readonly eid: string;
  readonly bytes: Uint8Array;
  readonly msgId: string;
  /** Virtual milliseconds. */
  readonly atMs: number;
  gone: boolean;
}

interface Proposal {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly reply: string;
  readonly msgId: string;
  /** Its PubAck comes; after a change of leader nobody sends it. */
  answered: boolean;
  state: "open" | "stored" | "lost";
}

const encoder = new TextEncoder();
const IN_PROCESS = JSON.stringify({
  error: { code: 409, err_code: 10158, description: "duplicate message id is in process" },
});
const NO_RESPONDERS = 503;

/**
 * One log partition: a replicated stream of many users' logs that numbers, dedupes, acknowledges and republishes. Its
 * leader may change: of what is being stored then the first are kept, unanswered, and the rest is lost.
 */
export class Stream {
  readonly name: string;
  /** When it was made; changes when it is made anew. */
  epochMs: number;
  readonly #nats: Nats;
  readonly #dice: Dice;
  readonly #dedupeWindowMs: number;
  readonly #onStored: (stored: Stored) => void;
  #logs = new Map<string, Stored[]>();
  #ids = new Map<string, { seq: number; atMs: number }>();
  #inProcess = new Map<string, Proposal>();
  #proposals: Proposal[] = [];
  #commitAtMs = 0;
  #lastSeq = 0;
  /** Since when it has its leader, virtual milliseconds. */
  electedAtMs = 0;
  #electionUntilMs = 0;
  #electAmidMs: number | undefined;

  constructor(nats: Nats, partition: number, dedupeWindowMs: number, onStored: (stored: Stored) => void) {
    this.#nats = nats;
    this.#dice = nats.dice.fork();
    this.name = logStream(partition);
    this.epochMs = nats.world.epochMs;
    this.#dedupeWindowMs = dedupeWindowMs;
    this.#onStored = onStored;
    nats.streams.set(`bimip.log.${partition}`, this);
  }

  get hasLeader(): boolean {
    return this.#nats.up && this.#nats.world.nowMs >= this.#electionUntilMs;
  }

  ingest(subject: string, bytes: Uint8Array, reply: string, msgId: string): void {
    if (!this.hasLeader) {
      if (this.#dice.chance(0.3))
        this.#nats.route({ subject: reply, data: new Uint8Array(0), reply: "", headers: new Headers(NO_RESPONDERS) });
      return;
    }
    const { nowMs } = this.#nats.world;
    const known = this.#ids.get(msgId);
    if (known !== undefined && nowMs - known.atMs < this.#dedupeWindowMs) {
      this.#nats.world.count("repeats known to the stream");
      return this.#acknowledge(reply, known.seq, true);
    }
    if (this.#inProcess.has(msgId))
      return void this.#nats.route({ subject: reply, data: encoder.encode(IN_PROCESS), reply: "", headers: undefined });
    const electMs = this.#electAmidMs;
    if (electMs !== undefined) {
      // Long enough for others to come behind it.
      this.#electAmidMs = undefined;
      this.#commitAtMs = Math.max(this.#commitAtMs, nowMs + this.#dice.between(1, 30));
      this.#nats.world.schedule(
        this.#nats.server,
        this.#dice.between(0, 1) * (this.#commitAtMs - nowMs),
        "election",
        () => this.elect(electMs),
      );
    }
    const proposal: Proposal = { subject, bytes, reply, msgId, answered: true, state: "open" };
    this.#inProcess.set(msgId, proposal);
    this.#proposals.push(proposal);
    this.#commitAtMs = Math.max(
      this.#commitAtMs,
      nowMs + (this.#dice.chance(0.03) ? this.#dice.between(2, 60) : this.#dice.between(0.1, 1)),
    );
    this.#nats.world.schedule(this.#nats.server, this.#commitAtMs - nowMs, "store", () => this.#commit(proposal));
  }

  /** The leader goes while the next entry is being stored. */
  electAmid(ms: number): void {
    this.#electAmidMs = ms;
  }

  /** The leader is gone. */
  elect(ms: number): void {
    this.#loseLeader();
    this.#nats.world.count("elections");
    this.#electionUntilMs = Math.max(this.#electionUntilMs, this.#nats.world.nowMs + ms);
    this.#nats.world.schedule(this.#nats.server, ms, "leader elected", () => {
      this.electedAtMs = this.#nats.world.nowMs;
      this.#nats.publish(`$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.${this.name}`, new Uint8Array(0));
    });
  }

  /** All servers are gone at once. */
  crash(): void {
    this.#loseLeader();
  }

  /** Index of the last entry that is there, 0 = none. */
  head(eid: string): number {
    return this.#kept(eid).at(-1)?.seq ?? 0;
  }

  first(eid: string): number {
    return this.#kept(eid)[0]?.seq ?? 0;
  }

  /** As a replica shows it that is behind by `staleMs`. */
  page(eid: string, after: number, limit: number, staleMs: number): Stored[] {
    const untilMs = this.#nats.world.nowMs - staleMs;
    return this.#kept(eid)
      .filter(({ seq, atMs }) => seq > after && atMs <= untilMs)
      .slice(0, limit);
  }

  /** What was stored at that virtual moment or later. */
  since(eid: string, sinceMs: number, limit: number): Stored[] {
    return this.#kept(eid)
      .filter(({ atMs }) => atMs >= sinceMs)
      .slice(0, limit);
  }

  entry(eid: string, seq: number): Stored | undefined {
    return this.#kept(eid).find((stored) => stored.seq === seq);
  }

  /** Entries up to `upTo` are taken away. */
  trim(eid: string, upTo: number): void {
    const log = this.#logs.get(eid) ?? [];
    for (const stored of log) if (stored.seq <= upTo) stored.gone = true;
    this.#logs.set(
      eid,
      log.filter(({ gone }) => !gone),
    );
  }

  #kept(eid: string): readonly Stored[] {
    return this.#logs.get(eid) ?? [];
  }

  #loseLeader(): void {
    const open = this.#proposals.filter(({ state }) => state === "open");
    const kept = this.#dice.int(0, open.length);
    for (const [at, proposal] of open.entries()) {
      proposal.answered = false;
      if (at >= kept) {
        proposal.state = "lost";
        this.#nats.world.count("publishes lost by a change of leader");
        this.#inProcess.delete(proposal.msgId);
      }
    }
    this.#proposals = [];
  }

  #commit(proposal: Proposal): void {
    if (proposal.state !== "open") return;
    proposal.state = "stored";
    this.#proposals = this.#proposals.filter((other) => other !== proposal);
    this.#inProcess.delete(proposal.msgId);
    const { subject, bytes, msgId, reply } = proposal;
    const token = subject.slice(subject.lastIndexOf(".") + 1);
    const eid = tokenToName(token);
    this.#lastSeq += this.#dice.chance(0.2) ? this.#dice.int(1, 5) : 1; // other users' entries lie between
    const stored: Stored = { seq: this.#lastSeq, eid, bytes, msgId, atMs: this.#nats.world.nowMs, gone: false };
    const log = this.#logs.get(eid);
    const previous = log?.at(-1)?.seq ?? 0;
    if (log === undefined) this.#logs.set(eid, [stored]);
    else log.push(stored);
    this.#ids.set(msgId, { seq: stored.seq, atMs: stored.atMs });
    this.#onStored(stored);
    if (proposal.answered) this.#acknowledge(reply, stored.seq, false);
    const { copyLoss, lateMs } = this.#nats.trouble;
    if (this.#dice.chance(copyLoss) || (!proposal.answered && this.#dice.chance(0.5))) {
      return this.#nats.world.count("copies lost");
    }
    const headers = new Headers(0, { [HEADERS.sequence]: stored.seq, [HEADERS.lastSequence]: previous });
    this.#later(this.#dice.chance(0.05) ? lateMs : 0, () =>
      this.#nats.publish(`bimip.to.${token}.log`, bytes, "", "", headers),
    );
  }

  #acknowledge(reply: string, seq: number, duplicate: boolean): void {
    const { ackLoss, ackDuplicate, lateMs } = this.#nats.trouble;
    if (this.#dice.chance(ackLoss)) return this.#nats.world.count("acks lost");
    const text = `{"stream":"${this.name}","seq":${seq}${duplicate ? ',"duplicate":true' : ""}}`;
    const data = encoder.encode(text);
    const times = this.#dice.chance(ackDuplicate) ? 2 : 1;
    for (let time = 0; time < times; time++) {
      this.#later(
        this.#dice.chance(0.2) ? lateMs : 0,
        () => void this.#nats.route({ subject: reply, data, reply: "", headers: undefined }),
      );
    }
  }

  #later(upToMs: number, run: () => void): void {
    if (upToMs === 0) return run();
    this.#nats.world.schedule(this.#nats.server, this.#dice.between(0, upToMs), "late", run);
  }
}
