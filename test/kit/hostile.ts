import type { Link } from "@bimip/nats";
import type { Device } from "./device.js";
import { printable } from "./hostile-names.js";

/** The names for which something is not so, and why; empty is what one wants to see. */
export async function exceptions(
  names: readonly string[],
  isSo: (name: string) => Promise<string | undefined>,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const name of names) {
    const problem = await isSo(name).catch(String);
    if (problem !== undefined) wrong.push(`${printable(name)}: ${problem}`);
  }
  return wrong;
}

/** `code details` of the error that answers this frame; "" when everything was answered and none came. */
export async function errorTo(device: Device, frame: Uint8Array): Promise<string> {
  const before = device.of("error").length;
  device.sendBytes(frame);
  await device.settle();
  const error = device.of("error")[before];
  return error === undefined ? "" : `${error.code} ${error.details}`;
}

/** Nothing if the answer refuses this field: 422 for a name against the rules, 400 for bytes that are no text. */
export function refusedAt(answer: string, field: string): string | undefined {
  const named = answer.startsWith(`422 ${field}: `) || answer.startsWith(`400 ${field}: `);
  return named ? undefined : `was answered "${answer}"`;
}

/** `name cid` of every connection of the account: another number means that it was made anew. */
export async function natsConnections({ nc }: Link): Promise<string[]> {
  const answer = await nc.request("$SYS.REQ.ACCOUNT.PING.CONNZ", JSON.stringify({ limit: 1_000 }), { timeout: 5_000 });
  const { data } = JSON.parse(answer.string()) as { data: { connections: { name: string; cid: number }[] } };
  return data.connections.map(({ name, cid }) => `${name} ${cid}`).sort();
}
