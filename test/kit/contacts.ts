import { ContactAction, ContactRelationship } from "@bimip/protocol";
import type { Device } from "./device.js";
import { eventually } from "./eventually.js";

const { UNILATERAL, MUTUAL } = ContactRelationship;
const { REQUEST, ACCEPT, BLOCK, UNBLOCK } = ContactAction;

/** Asks; resolves when the server has it. */
export async function ask(from: Device, to: string, relationship: ContactRelationship = MUTUAL): Promise<void> {
  await from.contactDone({ to: { eid: to }, relationship, action: REQUEST });
}

export async function accept(device: Device, of: string, relationship: ContactRelationship = MUTUAL): Promise<void> {
  await device.contactDone({ to: { eid: of }, relationship, action: ACCEPT });
}

/** `from` follows `to`, who accepts; resolves when the follower was told. */
export async function follow(from: Device, to: Device): Promise<void> {
  await ask(from, to.eid, UNILATERAL);
  await accept(to, from.eid, UNILATERAL);
  await told(from, to.eid, ACCEPT);
}

/** Makes the two mutual contacts; resolves when each knows how present the other is. */
export async function befriend(one: Device, other: Device): Promise<void> {
  await ask(one, other.eid);
  await accept(other, one.eid);
  await told(one, other.eid, ACCEPT);
  await eventually("they see each other", () => one.presenceOf(other.eid) && other.presenceOf(one.eid));
}

export async function block(device: Device, whom: string): Promise<void> {
  await device.contactDone({ to: { eid: whom }, action: BLOCK });
}

export async function unblock(device: Device, whom: string): Promise<void> {
  await device.contactDone({ to: { eid: whom }, action: UNBLOCK });
}

/** `device` was told that `by` did this to it. */
export async function told(device: Device, by: string, action: ContactAction): Promise<void> {
  await device.until("awarenessContact", (contact) => contact.from?.eid === by && contact.action === action);
}
