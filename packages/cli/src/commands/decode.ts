import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { decodeFrame, LIMITS, STANZA_ROUTE, stanzaToJson } from "@bimip/protocol";
import { Command } from "commander";
import { CliError } from "../cli-error.js";
import { hexToBytes } from "../hex.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";

/** `bimip decode`: shows what is in a frame. */
export function decodeCommand(context: ProgramContext): Command {
  return new Command("decode")
    .description("Show what is in a frame, given as hex or as a file (binary or hex text).")
    .argument("[source]", "hex, a file, or - for standard input", "-")
    .option("--json", "one line of JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip decode "08 03 1a 06 0a 02 70 31 18 01"
  $ npx bimip decode frame.bin
  $ xxd -p frame.bin | npx bimip decode`,
    )
    .action(async (source: string, options: { json?: boolean }) => {
      const output = createOutput({ ...context, json: options.json === true });
      const bytes = await bytesOf(source, context);
      if (bytes.length === 0) throw new CliError("there are no bytes to decode");
      const { kind } = decodeFrame(bytes, { maxStanzaBytes: LIMITS.frameBytes }).stanza;
      const json = stanzaToJson(bytes);
      const head = `${output.paint("bold", kind)} (field ${STANZA_ROUTE[kind]}), ${bytes.length} bytes`;
      output.result(json, `${head}\n${JSON.stringify(json, null, 2)}`);
    });
}

async function bytesOf(source: string, { stdin }: ProgramContext): Promise<Uint8Array> {
  if (source === "-") return fromContent(await buffer(stdin));
  const hex = hexToBytes(source);
  if (hex !== undefined) return hex;
  try {
    return fromContent(await readFile(source));
  } catch (cause) {
    throw new CliError(`${source} is neither hex nor a file that can be read`, { cause });
  }
}

/** Hex text, or else the bytes as they are: hardly a frame consists of nothing but hex digits. */
function fromContent(content: Buffer): Uint8Array {
  return hexToBytes(content.toString("latin1")) ?? content;
}
