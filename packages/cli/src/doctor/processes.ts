import { type NatsConnection, type ProcessStatus, SUBJECTS } from "@bimip/nats";
import { fail, type Finding, ok, warn } from "./finding.js";
import { CLOCK_MS, clockFinding } from "./servers.js";

const SERVICES = ["gateway", "router", "awareness", "storage"] as const;
const QUIET_MS = 500;
const WAIT_MS = 3_000;

interface Heard extends ProcessStatus {
  /** How far its clock is before ours. */
  readonly offMs: number;
}

/** Asks every process of every service how it is. */
export async function checkProcesses(nc: NatsConnection): Promise<Finding[]> {
  const heard = await askAll(nc);
  const findings: Finding[] = [];
  for (const service of SERVICES) {
    const ofService = heard.filter((process) => process.service === service);
    if (ofService.length === 0) findings.push(fail(service, "nobody answers", `start ${service}, or see its log`));
    for (const process of ofService) findings.push(ofProcess(process), clockFinding(nameOf(process), process.offMs));
  }
  const gateways = heard.filter(({ service }) => service === "gateway").map(({ offMs }) => offMs);
  const spread = gateways.length < 2 ? 0 : Math.max(...gateways) - Math.min(...gateways);
  if (spread > CLOCK_MS) {
    const hint = "let NTP set their clocks: a device that moves between two may be taken for its own older connection";
    findings.push(warn("gateways", `clocks differ by ${Math.round(spread)} ms`, hint));
  }
  return findings;
}

async function askAll(nc: NatsConnection): Promise<Heard[]> {
  const askedMs = Date.now();
  const answers = await nc.requestMany(SUBJECTS.status, "", { strategy: "stall", stall: QUIET_MS, maxWait: WAIT_MS });
  const heard: Heard[] = [];
  for await (const message of answers) {
    if (message instanceof Error || message.data.length === 0) break; // nobody listens
    const status = message.json<ProcessStatus>();
    heard.push({ ...status, offMs: status.clockMs - (askedMs + Date.now()) / 2 });
  }
  return heard.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

const nameOf = ({ service, name, pid }: ProcessStatus): string => `${service} ${name} (${pid})`;

function ofProcess(process: Heard): Finding {
  const about = nameOf(process);
  if (process.ready) return ok(about, "ready");
  const parts = Object.entries(process.unwell).map(([part, why]) => (why === "" ? part : `${part}: ${why}`));
  return fail(about, `not ready: ${parts.join("; ")}`, "its log says more");
}
