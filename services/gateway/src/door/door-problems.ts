/** Settings of the door that must go together. */
export interface DoorSettings {
  readonly BIMIP_TLS_CERT_FILE: string | undefined;
  readonly BIMIP_TLS_KEY_FILE: string | undefined;
  readonly BIMIP_CLIENT_ADDRESS: "socket" | "x-forwarded-for" | "proxy-protocol";
  readonly BIMIP_TRUSTED_PROXIES: readonly string[];
}

/** Where every address that begins with 127 is the machine's own. */
const LOOPBACK_NETWORK: readonly NodeJS.Platform[] = ["linux", "win32"];

/** What is wrong with them, a line each. */
export function doorProblems(config: DoorSettings, platform: NodeJS.Platform = process.platform): string[] {
  const problems: string[] = [];
  if ((config.BIMIP_TLS_CERT_FILE === undefined) !== (config.BIMIP_TLS_KEY_FILE === undefined)) {
    problems.push("BIMIP_TLS_CERT_FILE and BIMIP_TLS_KEY_FILE: give both, or neither");
  }
  if (config.BIMIP_CLIENT_ADDRESS !== "socket" && config.BIMIP_TRUSTED_PROXIES.length === 0) {
    problems.push(`BIMIP_TRUSTED_PROXIES is required with BIMIP_CLIENT_ADDRESS=${config.BIMIP_CLIENT_ADDRESS}`);
  }
  if (config.BIMIP_CLIENT_ADDRESS === "socket" && config.BIMIP_TRUSTED_PROXIES.length > 0) {
    const how = "say how they tell the client's address";
    problems.push(`BIMIP_TRUSTED_PROXIES says nothing with BIMIP_CLIENT_ADDRESS=socket: ${how}`);
  }
  if (config.BIMIP_CLIENT_ADDRESS === "proxy-protocol" && !LOOPBACK_NETWORK.includes(platform)) {
    problems.push(`BIMIP_CLIENT_ADDRESS=proxy-protocol works on Linux, not on ${platform}`);
  }
  return problems;
}
