import { connectNats, createLogReader } from "@bimip/nats";
import { decodeFrame } from "@bimip/protocol";
import { eventually } from "../kit/eventually.js";

const PAGE_ENTRIES = 256;
const MAX_STANZA_BYTES = 1 << 24;
const WITHIN_MS = 60_000;

/** The messages of these users' logs, in order, read from NATS itself. */
export async function readLogs(
  servers: string,
  partitions: number,
  eids: readonly string[],
): Promise<Map<string, { index: number; id: string }[]>> {
  const link = await connectNats({ servers, name: "log check" });
  try {
    const reader = await createLogReader(link, partitions);
    const logs = new Map<string, { index: number; id: string }[]>();
    for (const eid of eids) {
      const entries: { index: number; id: string }[] = [];
      let after = 0;
      // A replica that lags gives an empty page, an election an error.
      const readOn = async (): Promise<boolean> => {
        const head = await reader.head(eid);
        while (after < head) {
          const page = await reader.page(eid, after, PAGE_ENTRIES);
          if (page.length === 0) return false;
          for (const { index, bytes } of page) {
            const { kind, value } = decodeFrame(bytes, { maxStanzaBytes: MAX_STANZA_BYTES }).stanza;
            if (kind === "message") entries.push({ index, id: value.id });
            after = index;
          }
        }
        return true;
      };
      await eventually(`the log of ${eid}`, readOn, WITHIN_MS);
      logs.set(eid, entries);
    }
    return logs;
  } finally {
    await link.nc.close();
  }
}
