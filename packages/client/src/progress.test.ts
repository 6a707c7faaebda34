import { expect, it } from "vitest";
import { Progress } from "./progress.js";

it("releases in log order, in whatever order entries were taken", () => {
  const progress = new Progress();
  const released: number[] = [];
  const [one, two, three] = [3, 7, 8].map((index) => progress.begin(index, () => released.push(index)));
  three?.();
  two?.();
  expect(released).toEqual([]);
  one?.();
  one?.();
  expect(released).toEqual([3, 7, 8]);
});

it("lets actions wait for what lies before them, and runs the others at once", () => {
  const progress = new Progress();
  const ran: string[] = [];
  const five = progress.begin(5, () => ran.push("released 5"));
  progress.begin(9, () => ran.push("released 9"));
  for (const index of [4, 5, 8, 9]) progress.behind(index, () => ran.push(`behind ${index}`));
  expect(ran).toEqual(["behind 4"]);
  five();
  expect(ran).toEqual(["behind 4", "released 5", "behind 5", "behind 8"]);
});

it("does nothing any more after its end", () => {
  const progress = new Progress();
  const ran: string[] = [];
  const taken = progress.begin(1, () => ran.push("released"));
  progress.behind(1, () => ran.push("behind"));
  progress.end();
  taken();
  progress.behind(0, () => ran.push("later"));
  expect(ran).toEqual([]);
});

it("lets actions that wait for nothing run after its end, up to an index", () => {
  const progress = new Progress();
  const ran: number[] = [];
  progress.begin(3, () => ran.push(3));
  progress.end(2);
  for (const index of [1, 2, 3]) progress.behind(index, () => ran.push(index));
  expect(ran).toEqual([1, 2]);
});

it("keeps its order over thousands", () => {
  const progress = new Progress();
  const released: number[] = [];
  const taken = Array.from({ length: 5_000 }, (_, index) => progress.begin(index + 1, () => released.push(index + 1)));
  for (const take of taken.slice(0, 3_000)) take();
  for (const take of taken.slice(3_000).toReversed()) take();
  expect(released).toEqual(taken.map((_, index) => index + 1));
});
