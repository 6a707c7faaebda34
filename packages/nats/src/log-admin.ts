import { JetStreamError, type JetStreamManager, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { tokenToName } from "@bimip/protocol";
import type { Link } from "./connect.js";
import { logStream, SUBJECTS } from "./names.js";
import { partitionOf } from "./partition.js";

const TIMEOUT_MS = 10_000;

/** How full the log of a user is. */
export interface LogCount {
  readonly eid: string;
  readonly entries: number;
}

/** What storage alone may do with logs: count and shorten them. */
export class LogAdmin {
  readonly #link: Link;
  readonly #jsm: JetStreamManager;
  readonly #partitions: number;

  private constructor(link: Link, jsm: JetStreamManager, partitions: number) {
    this.#link = link;
    this.#jsm = jsm;
    this.#partitions = partitions;
  }

  /** @param partitions as in the meta bucket */
  static async create(link: Link, partitions: number): Promise<LogAdmin> {
    return new LogAdmin(link, await jetstreamManager(link.nc, { checkAPI: false }), partitions);
  }

  /** Removes a user's entries up to and with index `upTo`; answers with how many there were. */
  async purge(eid: string, upTo: number): Promise<number> {
    const partition = partitionOf(eid, this.#partitions);
    const filter = SUBJECTS.log(partition, eid);
    const { purged } = await this.#jsm.streams.purge(logStream(partition), { filter, seq: upTo + 1 });
    return purged;
  }

  /** How many entries a user's log has. */
  async entriesOf(eid: string): Promise<number> {
    const partition = partitionOf(eid, this.#partitions);
    const subject = SUBJECTS.log(partition, eid);
    const { state } = await this.#subjects(partition, subject, 0);
    return state.subjects?.[subject] ?? 0;
  }

  /** The logs of a partition that are not empty, in pages, so that millions of users are never held at once. */
  async *counts(partition: number): AsyncGenerator<readonly LogCount[]> {
    const prefix = SUBJECTS.logsOfPartition(partition).length - 1;
    for (let offset = 0; ; ) {
      const info = await this.#subjects(partition, SUBJECTS.logsOfPartition(partition), offset);
      const subjects = Object.entries(info.state.subjects ?? {});
      if (subjects.length === 0) return;
      yield subjects.map(([subject, entries]) => ({ eid: tokenToName(subject.slice(prefix)), entries }));
      offset += subjects.length;
      if (offset >= info.total) return;
    }
  }

  /** One page of the subjects that hold something; the client's own call would gather all pages. */
  async #subjects(partition: number, filter: string, offset: number): Promise<StreamInfo> {
    const query = JSON.stringify({ subjects_filter: filter, offset });
    const subject = `$JS.API.STREAM.INFO.${logStream(partition)}`;
    const answer = await this.#link.nc.request(subject, query, { timeout: TIMEOUT_MS });
    const info = answer.json<StreamInfo & { error?: { description: string } }>();
    if (info.error !== undefined) throw new JetStreamError(info.error.description);
    return info;
  }
}
