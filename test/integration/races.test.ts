// Connecting while something is published, 300 times; `npm run races` does it 10,000 times against real processes.
import { connectNats, type Link } from "@bimip/nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startSystem, type System } from "../kit/system.js";
import { fellIntoPublish, judge, noFaults, type Stretch } from "../load/race-judge.js";
import { runRaces } from "../load/race-run.js";

const PARTITIONS = 4;
const RACES = 300;

let system: System;
let link: Link;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { BIMIP_LOG_PARTITIONS: String(PARTITIONS) } });
  link = await connectNats({ servers: system.nats.url, name: "races" });
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

test("300 connects amid a publish: nothing is missing, repeated or out of order", async () => {
  const target = {
    ports: system.urls.map((url) => Number(new URL(url).port)),
    nc: link.nc,
    partitions: PARTITIONS,
    token: (eid: string, device: string, scope?: string) =>
      system.token(eid, device, scope === undefined ? {} : { scope }),
  };
  const report = await runRaces(target, { races: RACES, workers: 6, seed: 1, racesPerUser: 25 });
  expect(report).toMatchObject({ races: RACES, faults: noFaults(), falseSent: 0, complaints: [] });
  // Not a given, but the point of it.
  expect(report.intoPublish).toBeGreaterThan(RACES / 4);
});

describe("the judge", () => {
  const log = [3, 5, 8, 9].map((index, at) => ({ index, id: `m${index}`, storedAtMs: at * 10 }));
  const stretch = (indexes: number[], extra: Partial<Stretch> = {}): Stretch => ({
    begin: { after: 3 },
    startedAtMs: 15,
    indexes,
    ids: indexes.map((index) => `m${index}`),
    ...extra,
  });

  test.each([
    ["all of it", stretch([5, 8, 9]), {}],
    ["an open end", stretch([5]), {}],
    ["a gap", stretch([5, 9]), { missing: 1 }],
    ["less than RESUME says", stretch([5], { resumed: { atMs: 25, index: 8 } }), { missing: 1 }],
    ["one twice", stretch([5, 8, 8, 9]), { repeated: 1 }],
    ["one that was acknowledged", stretch([3, 5]), { repeated: 1 }],
    ["another order", stretch([8, 5, 9]), { reordered: 1 }],
    ["one that is not in the log", stretch([5, 7]), { unexpected: 1, missing: 0 }],
    ["an id at another's index", stretch([5], { ids: ["m8"] }), { unexpected: 1 }],
    ["from the head, as it was while connecting", stretch([8, 9], { begin: "head", firstPrevious: 5 }), {}],
    ["from before the head", stretch([5, 8], { begin: "head", firstPrevious: 3 }), { unexpected: 1 }],
    [
      "from behind the head",
      stretch([9], { begin: "head", firstPrevious: 8, resumed: { atMs: 16, index: 9 } }),
      { missing: 1 },
    ],
  ])("sees %s", (_what, one, faults) => {
    expect(judge(one, log)).toEqual({ ...noFaults(), ...faults });
  });

  test("counts only what was surely stored between the beginning and RESUME", () => {
    expect(fellIntoPublish(stretch([], { resumed: { atMs: 25, index: 8 } }), log)).toBe(true);
    expect(fellIntoPublish(stretch([], { resumed: { atMs: 19, index: 8 } }), log)).toBe(false);
    expect(fellIntoPublish(stretch([]), log)).toBe(false);
  });
});
