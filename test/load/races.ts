// `npm run races`: devices connect while a publisher writes to their user, over and over; nothing may be missing or twice.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issueToken } from "@bimip/auth";
import { startStack } from "@bimip/devstack";
import { connectNats } from "@bimip/nats";
import { type RaceReport, runRaces } from "./race-run.js";
import { table } from "./table.js";
import { runScript } from "./run-script.js";

const { values: args } = parseArgs({
  options: {
    races: { type: "string", default: "10000" },
    workers: { type: "string", default: "12" },
    gateways: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run races -- [options]
  --races N     connects while something is published (10000)
  --workers N   users at a time, each with its publisher and its devices (12)
  --gateways N  gateways of the stack (2)
  --seed N      what the devices do, and when (1)`;

const PARTITIONS = 4;
const DEADLINE_MS = 15 * 60_000;

async function main(): Promise<boolean> {
  const races = Number(args.races);
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-races-"));
  const env = { ...process.env, BIMIP_LOG_LEVEL: "warn", BIMIP_LOG_PARTITIONS: String(PARTITIONS) };
  const stack = await startStack({ dataDir, env, port: 0, gateways: Number(args.gateways) });
  const link = await connectNats({ ...stack.natsAccess, name: "races" });
  let shown = 0;
  try {
    const target = {
      ports: stack.gateways.map(({ httpUrl }) => Number(new URL(httpUrl).port)),
      nc: link.nc,
      partitions: PARTITIONS,
      token: (eid: string, device: string, scope?: string) =>
        issueToken({ secret: stack.secret, eid, device, ...(scope !== undefined && { scope }) }),
    };
    const report = await runRaces(target, {
      races,
      workers: Number(args.workers),
      seed: Number(args.seed),
      racesPerUser: 50,
      onProgress(done) {
        if (done < shown + races / 10) return;
        shown = done;
        process.stderr.write(`${done} of ${races} races …\n`);
      },
    });
    return show(report, races);
  } finally {
    await link.nc.close();
    await stack.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function show(report: RaceReport, wanted: number): boolean {
  const { faults, complaints } = report;
  const rows = Object.entries(report.byMode).map(([mode, { races, intoPublish }]) => [mode, races, intoPublish]);
  process.stdout.write(
    table(["how it connects", "races", "fell into a publish"], [...rows, ["in all", report.races, report.intoPublish]]),
  );
  process.stdout.write(
    `\nstored ${report.stored}, received ${report.received}, left before RESUME ${report.leftEarly}, replaced ${report.replaced}, ${report.seconds.toFixed(1)} s\n`,
  );
  for (const line of complaints.slice(0, 20)) process.stdout.write(`complaint: ${line}\n`);
  const good =
    Object.values(faults).every((count) => count === 0) &&
    report.falseSent === 0 &&
    complaints.length === 0 &&
    report.races === wanted &&
    report.intoPublish > 0;
  process.stdout.write(
    `races ${report.races}, into a publish ${report.intoPublish}, missing ${faults.missing}, repeated ${faults.repeated}, ` +
      `reordered ${faults.reordered}, unexpected ${faults.unexpected}, false SENT ${report.falseSent}: ${good ? "good" : "FAILED"}\n`,
  );
  return good;
}

await runScript({ help: args.help ? HELP : undefined, deadlineMs: DEADLINE_MS, main });
