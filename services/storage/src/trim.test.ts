import { fromBinary } from "@bufbuild/protobuf";
import { LogTrimmedSchema } from "@bimip/protocol";
import { expect, test } from "vitest";
import { type TrimParts, trim } from "./trim.js";
import { emptyRecord } from "./user-record.js";

test("gateways are told before entries are removed: also when that fails, since the next sweep does it", async () => {
  const told: bigint[] = [];
  const record = emptyRecord();
  const parts = {
    link: {
      nc: { publish: (_subject: string, data: Uint8Array) => told.push(fromBinary(LogTrimmedSchema, data).trimmedTo) },
    },
    store: { change: async (_eid: string, change: (of: typeof record) => unknown) => change(record) },
    admin: { purge: () => Promise.reject(new Error("NATS is away")) },
  } as unknown as TrimParts;
  await expect(trim(parts, { eid: "alice", upTo: 7, epoch: 0 })).rejects.toThrow("NATS is away");
  expect(record.trimmedTo).toBe(7);
  expect(told).toEqual([7n]);
});
