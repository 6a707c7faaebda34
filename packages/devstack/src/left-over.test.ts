import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { endLeftOver, isRecorded, recordProcess } from "./left-over.js";

let dir: string;
let pidFile: string;
let script: string;
let child: ChildProcess;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-left-over-"));
  pidFile = join(dir, "it.pid");
  script = join(dir, "it.cjs");
  await writeFile(script, "setInterval(() => {}, 1000)");
  child = spawn(process.execPath, [script]);
  await once(child, "spawn");
});
afterEach(async () => {
  child.kill("SIGKILL");
  await rm(dir, { recursive: true, force: true });
});

test("a recorded process is ended, and its record removed", async () => {
  await recordProcess(pidFile, child.pid ?? 0);
  const record = await readFile(pidFile, "utf8");
  const exit = once(child, "exit");
  expect(await endLeftOver({ pidFile, isOurs: (running) => isRecorded(running, record, script) })).toBe(child.pid);
  expect(await exit).toEqual([null, "SIGTERM"]);
  expect(await readdir(dir)).toEqual(["it.cjs"]);
});

test("a process that has the id of an earlier one, or runs another script, is left alone", async () => {
  for (const [record, ofScript] of [
    [`${child.pid} 12345`, script],
    [await started(child), "/elsewhere/it.cjs"],
  ] as const) {
    await writeFile(pidFile, record);
    expect(await endLeftOver({ pidFile, isOurs: (running) => isRecorded(running, record, ofScript) })).toBeUndefined();
    expect(child.exitCode ?? child.signalCode).toBeNull();
  }
});

async function started({ pid = 0 }: ChildProcess): Promise<string> {
  await recordProcess(pidFile, pid);
  return readFile(pidFile, "utf8");
}

test("no record, a broken one, and one of a dead process mean nothing is left over", async () => {
  const isOurs = () => true;
  expect(await endLeftOver({ pidFile, isOurs })).toBeUndefined();
  await writeFile(pidFile, "nonsense");
  expect(await endLeftOver({ pidFile, isOurs })).toBeUndefined();
  child.kill("SIGKILL");
  await once(child, "exit");
  await writeFile(pidFile, String(child.pid));
  expect(await endLeftOver({ pidFile, isOurs })).toBeUndefined();
});
