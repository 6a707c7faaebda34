import { type ErrorMessage, type TokenAuthority, TokenAuthoritySchema, TokenTask, TokenType } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Device } from "./device.js";
import { eventually } from "./eventually.js";

type TokenInit = MessageInitShape<typeof TokenAuthoritySchema>;

let ids = 0;

/** Sends a TokenAuthority; its id. */
export function sendToken(device: Device, init: TokenInit): string {
  const asked = create(TokenAuthoritySchema, { id: `token-${++ids}`, type: TokenType.REQUEST, ...init });
  device.send("tokenAuthority", asked);
  return asked.id;
}

/** Sends a TokenAuthority and waits for its answer, whichever that is. */
export async function askToken(device: Device, init: TokenInit): Promise<TokenAuthority | ErrorMessage> {
  const id = sendToken(device, init);
  return eventually<TokenAuthority | ErrorMessage | undefined>(
    () => `an answer to ${id}`,
    () =>
      device.of("tokenAuthority").find((answer) => answer.id === id) ??
      device.of("error").find((error) => error.id === id),
  );
}

/** What a REVOKE of a device came to. */
export function revoke(device: Device, init: TokenInit = {}): Promise<TokenAuthority | ErrorMessage> {
  return askToken(device, { task: TokenTask.REVOKE, ...init });
}

/** Opens a socket without a token, and sends this as its first frame. */
export async function firstFrame(url: string, init: TokenInit, query = "?device=phone"): Promise<Device> {
  const device = await Device.open(url, { query });
  sendToken(device, { id: "first", ...init });
  return device;
}
