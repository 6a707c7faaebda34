// `npm run flapping`: devices that reconnect without pause; at the end their contacts must see who is there and who is not.
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startTestStack } from "../kit/stack.js";
import { type FlappingReport, runFlapping } from "./flapping-run.js";
import { runScript } from "./run-script.js";

const { values: args } = parseArgs({
  options: {
    devices: { type: "string", default: "200" },
    observers: { type: "string", default: "4" },
    seconds: { type: "string", default: "60" },
    gateways: { type: "string", default: "2" },
    awareness: { type: "string", default: "2" },
    grace: { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run flapping -- [options]
  --devices N    that connect, leave and connect again (200)
  --observers N  users who see all of them (4)
  --seconds N    how long (60)
  --gateways N   of the stack (2)
  --awareness N  replicas of awareness (2)
  --grace N      milliseconds until a user who left counts as gone (300)
  --seed N       what the devices do, and when (1)`;

const SETTLE_MS = 30_000;
const PROGRESS_MS = 5_000;
const DEADLINE_MS = 15 * 60_000;

async function main(): Promise<boolean> {
  const graceMs = Number(args.grace);
  const target = await startTestStack({
    gateways: Number(args.gateways),
    awareness: Number(args.awareness),
    env: { BIMIP_OFFLINE_GRACE_MS: String(graceMs) },
  });
  try {
    const report = await runFlapping(target, {
      devices: Number(args.devices),
      observers: Number(args.observers),
      seed: Number(args.seed),
      longAwayMs: 2 * graceMs,
      settleWithinMs: SETTLE_MS,
      async meanwhile() {
        const untilMs = performance.now() + Number(args.seconds) * 1_000;
        while (performance.now() < untilMs) {
          await delay(Math.min(PROGRESS_MS, untilMs - performance.now()));
          process.stderr.write(`${Math.max(0, Math.round((untilMs - performance.now()) / 1_000))} s left …\n`);
        }
      },
    });
    return show(report);
  } catch (error) {
    process.stdout.write(`${error instanceof Error ? error.message : String(error)}\nflapping: FAILED\n`);
    return false;
  } finally {
    await target.stop();
  }
}

function show({ users, online, connects, refused, lost, told, changes, settledMs, seconds }: FlappingReport): boolean {
  const good = changes > 0 && online > 0 && online < users;
  process.stdout.write(
    [
      `${args.devices} devices of ${users} users, ${args.observers} observers, grace ${args.grace} ms, seed ${args.seed}`,
      `  connects          ${connects} in ${seconds.toFixed(1)} s (${(connects / seconds).toFixed(0)}/s), refused ${refused}, ended by the server ${lost}`,
      `  told to observers ${told}, of which changes of status ${changes}`,
      `  at the end        ${online} of ${users} users online; all observers see so after ${(settledMs / 1_000).toFixed(1)} s`,
      `flapping: ${good ? "good" : "FAILED: nothing was put to the test"}\n`,
    ].join("\n"),
  );
  return good;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
