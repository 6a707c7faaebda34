import { type SettingName, settings } from "@bimip/runtime";

const LIMITS = /^BIMIP_(?:RATE|MAX_CONNECTIONS|MAX_UNAUTHENTICATED|ABUSE|SHED)_/;

/** The limits as an installation has them that sets none; tests and the development profile have them off. */
export function defaultLimits(): Record<string, string> {
  const names = (Object.keys(settings) as SettingName[]).filter((name) => LIMITS.test(`${name}_`));
  return Object.fromEntries(names.map((name) => [name, String(settings[name].default)]));
}
