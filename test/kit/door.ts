import { type RawAnswer, rawRequest, type RawOptions, type Headers, upgradeHead } from "./raw-http.js";
import { startSystem, type System } from "./system.js";

/** A line of the audit. */
export interface AuditLine {
  readonly reason: string;
  readonly code: number;
  readonly eid: string;
  readonly device: string;
  readonly address: string;
  readonly details: string;
}

/** A system with one gateway, at whose door tests stand. */
export interface DoorSystem {
  readonly system: System;
  readonly port: number;
  readonly audited: AuditLine[];
  /** Every line of the log. */
  readonly lines: string[];
  /** An upgrade; a token goes into the header. */
  knock(options?: Partial<RawOptions> & { readonly headers?: Headers; readonly token?: string }): Promise<RawAnswer>;
  /** A metric's value, without labels or with exactly these. 0 when there is none. */
  metric(name: string, labels?: string): Promise<number>;
}

export async function startDoor(env: Record<string, string>): Promise<DoorSystem> {
  const audited: AuditLine[] = [];
  const lines: string[] = [];
  const system = await startSystem({
    env,
    onLog(line) {
      lines.push(line);
      const { audit } = JSON.parse(line) as { audit?: AuditLine };
      if (audit !== undefined) audited.push(audit);
    },
  });
  const port = Number(new URL(system.urls[0] ?? "").port);
  return {
    system,
    port,
    audited,
    lines,
    knock({ headers = [], token, ...options } = {}) {
      const authorization: Headers = token === undefined ? [] : [["Authorization", `Bearer ${token}`]];
      return rawRequest(upgradeHead([...authorization, ...headers]), { port, ...options });
    },
    async metric(name, labels = "") {
      const text = await system.metrics();
      const pattern = new RegExp(`^${name}\\{${labels}${labels === "" ? "" : ","}service="gateway"\\} (.*)$`, "m");
      return Number(pattern.exec(text)?.[1] ?? 0);
    },
  };
}
