const UNITS_S = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const PATTERN = /^(\d+)([smhd]?)$/;

/** Seconds of `90`, `90s`, `15m`, `24h` or `7d`; undefined for anything else and for 0. */
export function parseDurationS(text: string): number | undefined {
  const match = PATTERN.exec(text.trim());
  if (match === null) return undefined;
  const unit = match[2] === "m" || match[2] === "h" || match[2] === "d" ? match[2] : "s";
  const seconds = Number(match[1]) * UNITS_S[unit];
  return seconds > 0 && Number.isSafeInteger(seconds) ? seconds : undefined;
}
