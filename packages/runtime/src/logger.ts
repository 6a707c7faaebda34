import { type DestinationStream, type Logger, pino } from "pino";
import { settings } from "./settings.js";

export type { Logger } from "pino";

const secretKeys = [
  "token",
  "access_token",
  "accessToken",
  "refresh_token",
  "refreshToken",
  "authorization",
  "secret",
  "password",
  "passphrase",
  "privateKey",
  "private_key",
  "seed",
  "cookie",
  // What a browser's push subscription is made of: whoever has it may push.
  "subscription",
  "endpoint",
  "p256dh",
  "auth",
  ...Object.entries(settings).flatMap(([name, { secret }]) => (secret ? [name] : [])),
];

// pino's wildcards stand for exactly one level, so each depth is named.
const redactPaths = ["", "*.", "*.*."].flatMap((prefix) => secretKeys.map((key) => `${prefix}${key}`));

/**
 * A pino logger that writes JSON lines to stdout, synchronously, so that the last line before an exit is not lost.
 * Values under keys that hold secrets (`token`, `authorization`, `secret`, …) are replaced, down to three levels.
 *
 * @param level a pino level, as in BIMIP_LOG_LEVEL
 * @param destination where the lines go instead of stdout
 */
export function createLogger(
  service: string,
  level: string,
  destination: DestinationStream = pino.destination({ fd: 1, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { service, pid: process.pid },
      redact: { paths: redactPaths, censor: "[redacted]" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
