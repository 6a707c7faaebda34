import { relative, resolve } from "node:path";
import { describeEvent, type Stack, type StackEvent, startStack } from "@bimip/devstack";
import { Command, InvalidArgumentError } from "commander";
import { createOutput, type Output } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { dataDirOf } from "../session.js";
import { onStopSignal, type StopSignal } from "../stop-signal.js";
import { welcomeText } from "../welcome.js";

const MAX_PORT = 65_535;
/** A start that was interrupted may take so long to end what it began. */
const ABORT_MS = 5_000;

interface UpOptions {
  readonly port?: number;
  readonly host?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

/** `bimip up`: the development profile, until Ctrl-C. */
export function upCommand(context: ProgramContext): Command {
  return new Command("up")
    .description("Start nats-server and the four services on this machine (development profile), until Ctrl-C.")
    .option("--port <port>", "port of the gateway, 0 = any (default: BIMIP_PORT, else 4001)", port)
    .option("--host <host>", "address to listen on (default: BIMIP_HOST, else 127.0.0.1)")
    .option("--data-dir <dir>", "where messages, secret and logs are kept (default: BIMIP_DATA_DIR, else .bimip)")
    .option("--json", "one line of JSON when ready; progress goes to stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip up
  $ npx bimip up --port 5001 --data-dir /tmp/bimip
  $ NATS_URL=nats://127.0.0.1:4222 npx bimip up   use a nats-server that runs already`,
    )
    .action((options: UpOptions) => up(options, context));
}

async function up(options: UpOptions, context: ProgramContext): Promise<void> {
  const output = createOutput({ ...context, json: options.json === true });
  const stop = onStopSignal();
  const startedMs = performance.now();
  let quiet = false;
  const dataDir = dataDirOf(options, context.env);
  const starting = startStack({
    dataDir,
    env: { ...context.env },
    ...(options.port !== undefined && { port: options.port }),
    ...(options.host !== undefined && { host: options.host }),
    onEvent: (event) => quiet || tell(output, event),
  });
  const stack = await Promise.race([starting, stop.first]);
  if (stack === undefined) return abort(starting, output);
  const facts = {
    url: stack.url,
    httpUrl: stack.httpUrl,
    dataDir: shortPath(dataDir),
    env: context.env,
    tookS: (performance.now() - startedMs) / 1_000,
  };
  const { url, httpUrl, natsUrl } = stack;
  const ready = { event: "ready", url, httpUrl, natsUrl, dataDir: resolve(dataDir), processes: stack.processes() };
  output.result(ready, welcomeText(facts, output.paint));
  await stop.first;
  output.say(output.paint("dim", "stopping (Ctrl-C again forces)"));
  quiet = true;
  await end(stack, stop);
}

/** As short as it can be typed in this folder. */
function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith("..") ? resolve(path) : fromHere || ".";
}

function tell(output: Output, event: StackEvent): void {
  const line = describeEvent(event);
  if (output.json) output.note(line);
  else output.say(output.paint("dim", line));
}

async function end(stack: Stack, stop: StopSignal): Promise<void> {
  await stack.stop();
  stop.dispose();
  // Nothing may keep the process that the person has ended.
  process.exit(0);
}

/** Ctrl-C before it was ready: what was begun is ended as well as time allows. */
async function abort(starting: Promise<Stack>, output: Output): Promise<never> {
  output.note("stopping");
  const ended = starting.then((stack) => stack.stop()).catch(() => undefined);
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, ABORT_MS))]);
  process.exit(0);
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > MAX_PORT) throw new InvalidArgumentError("Use a number from 0 to 65535.");
  return number;
}
