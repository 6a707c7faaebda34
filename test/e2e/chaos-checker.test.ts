// The checker of the fault tests finds each kind of violation, and nothing in a run without one.
import { beforeEach, expect, test } from "vitest";
import { countViolations, judge, judgeLogs, VIOLATIONS } from "../chaos/checker.js";
import { type DeviceKey, type DeviceName, History } from "../chaos/history.js";

const DEVICES: readonly DeviceName[] = [
  { eid: "ann", device: "phone" },
  { eid: "ann", device: "laptop" },
  { eid: "bob", device: "phone" },
  { eid: "bob", device: "laptop" },
  { eid: "eve", device: "phone" },
];
/** All that a message from ann/phone to bob is for. */
const AUDIENCE: readonly DeviceKey[] = ["ann/laptop", "bob/phone", "bob/laptop"];

let history: History;
beforeEach(() => {
  history = new History(DEVICES);
});

function attempt(counter: number, { from = "ann/phone", to = "bob" } = {}): string {
  const id = `${from}-${to}-${counter}`;
  history.attempted({ id, from, to, counter });
  return id;
}

function sent(counter: number, flow: { from?: string; to?: string } = {}): string {
  const id = attempt(counter, flow);
  history.acknowledged(id, { index: counter, logIndex: counter });
  return id;
}

let index = 0;
function receive(id: string, devices: readonly DeviceKey[] = AUDIENCE, changes: { text?: string; from?: string } = {}) {
  const [from = "", to = ""] = id.split("-");
  index++;
  for (const device of devices) {
    history.received(device, { id, text: id, from, to, index, replayed: false, ...changes });
  }
}

/** `to` tells the author's devices that it has the message. */
function tell(id: string, devices: readonly DeviceKey[]) {
  const [, to = ""] = id.split("-");
  for (const device of devices) history.receiptCame(device, { id, from: to });
}
const ANN = ["ann/phone", "ann/laptop"];

/** `kind id device` of each violation, of messages or of receipts. */
const all = () => judge(history, DEVICES).violations;
const line = ({ kind, id, device }: ReturnType<typeof all>[number]) => `${kind} ${id} ${device}`;
const found = () =>
  all()
    .filter(({ kind }) => kind !== "untold")
    .map(line);

test("a run without a fault: the numbers, and no violation", () => {
  for (const counter of [1, 2, 3]) {
    receive(sent(counter));
    tell(`ann/phone-bob-${counter}`, ANN);
  }
  receive(sent(1, { from: "bob/phone", to: "ann" }), ["bob/laptop", "ann/phone", "ann/laptop"]);
  tell("bob/phone-ann-1", ["bob/phone", "bob/laptop"]);
  receive(sent(9, { from: "ann/laptop", to: "ann" }), ["ann/phone"]);
  expect(judge(history, DEVICES)).toEqual({ attempted: 5, acknowledged: 5, received: 13, violations: [] });
});

test("lost: one device of the recipient, or another one of the sender, did not get it", () => {
  const id = sent(1);
  receive(id, ["bob/phone"]);
  expect(found()).toEqual([`lost ${id} ann/laptop`, `lost ${id} bob/laptop`]);
});

test("what was received without a SENT is not lost for the others, but unanswered", () => {
  const id = attempt(1);
  receive(id, ["bob/phone"]);
  expect(found()).toEqual([`unanswered ${id} undefined`]);
});

test("duplicated: twice on one device, even with another index", () => {
  const id = sent(1);
  receive(id);
  receive(id, ["bob/laptop"]);
  expect(found()).toEqual([`duplicated ${id} bob/laptop`]);
});

test("reordered: within one flow only", () => {
  const [first, second, other] = [sent(1), sent(2), sent(1, { from: "ann/laptop" })];
  receive(second);
  receive(first, ["ann/laptop", "bob/phone"]);
  receive(other, ["ann/phone", "bob/phone", "bob/laptop"]);
  receive(first, ["bob/laptop"]);
  expect(found()).toEqual([
    `reordered ${first} ann/laptop`,
    `reordered ${first} bob/phone`,
    `reordered ${first} bob/laptop`,
  ]);
});

test("unexpected: never sent, another user's, one's own, changed, from someone else", () => {
  const id = sent(1);
  receive(id);
  receive("ann/phone-bob-7", ["bob/phone"]);
  receive(id, ["eve/phone", "ann/phone"]);
  const changed = sent(2);
  receive(changed, ["ann/laptop", "bob/laptop"]);
  receive(changed, ["bob/phone"], { text: id });
  receive(changed, ["bob/laptop"], { from: "eve/phone" });
  expect(found().sort()).toEqual([
    `lost ${changed} bob/phone`,
    `unexpected ${id} ann/phone`,
    `unexpected ${id} eve/phone`,
    `unexpected ${changed} bob/laptop`,
    `unexpected ${changed} bob/phone`,
    "unexpected ann/phone-bob-7 bob/phone",
  ]);
});

test("untold, told twice: a receipt that a device of the author did not get, or got again; never sent, or not its own", () => {
  const id = sent(1);
  receive(id);
  tell(id, ["ann/phone"]);
  tell(id, ["ann/phone", "eve/phone"]);
  history.receiptCame("ann/laptop", { id, from: "eve" });
  tell("ann/phone-bob-7", ["ann/phone"]);
  expect(all().map(line)).toEqual([
    `told twice ${id} ann/phone`,
    "unexpected ann/phone-bob-7 ann/phone",
    `unexpected ${id} ann/laptop`,
    `untold ${id} ann/laptop`,
    `unexpected ${id} eve/phone`,
  ]);
});

test("refused", () => {
  const id = attempt(1);
  history.refused(id, "500 cannot be stored");
  expect(judge(history, DEVICES).violations).toEqual([{ kind: "refused", id, details: "500 cannot be stored" }]);
});

test("misfiled: not at the index of SENT, not there at all, or twice", () => {
  const ids = [1, 2, 3].map((counter) => sent(counter));
  const log = ids.map((id, at) => ({ id, index: at + 1 }));
  const judged = (bob: typeof log) =>
    judgeLogs(
      history,
      new Map([
        ["ann", log],
        ["bob", bob],
      ]),
    ).map(({ kind, id, details }) => `${kind} ${id} ${details}`);
  expect(judged(log)).toEqual([]);
  expect(judged([...log, { id: ids[0] ?? "", index: 9 }])).toEqual([
    `misfiled ${ids[0]} in the log of bob at 1 and at 9`,
  ]);
  expect(
    judged([
      { id: ids[0] ?? "", index: 1 },
      { id: ids[2] ?? "", index: 2 },
    ]),
  ).toEqual([
    `misfiled ${ids[1]} SENT told index 2 of bob, it is not there`,
    `misfiled ${ids[2]} SENT told index 3 of bob, it is at 2`,
  ]);
});

test("each kind is counted, and told with where it was seen", () => {
  receive(sent(2), ["ann/laptop", "bob/phone"]); // lost
  tell("ann/phone-bob-2", [...ANN, "ann/phone"]); // told twice
  receive(sent(1)); // reordered, twice
  tell("ann/phone-bob-1", ["ann/phone"]); // untold
  receive("ann/phone-bob-1", ["bob/phone"]); // duplicated
  receive("nobody-bob-1", ["eve/phone"]); // unexpected
  attempt(3); // unanswered
  history.refused(attempt(4), "no");
  const { violations } = judge(history, DEVICES);
  const [misfiled] = judgeLogs(history, new Map()); // no log was found
  const counts = countViolations([...violations, ...(misfiled === undefined ? [] : [misfiled])]);
  expect(counts).toEqual({
    lost: 1,
    reordered: 2,
    duplicated: 1,
    unexpected: 1,
    unanswered: 1,
    refused: 1,
    untold: 1,
    "told twice": 1,
    misfiled: 1,
  });
  expect(Object.keys(counts).sort()).toEqual([...VIOLATIONS].sort());
  expect(violations.find(({ kind }) => kind === "reordered")?.details).toMatch(/^index \d+ at \d+ ms, after ann/);
});
