import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What the processes of a stack logged that NATS did not allow them: bugs of the permission table, or of the services. */
export function natsViolations(dataDir: string): string[] {
  const logs = join(dataDir, "logs");
  return readdirSync(logs).flatMap((name) =>
    readFileSync(join(logs, name), "utf8")
      .split("\n")
      .filter((line) => line.includes("NATS does not allow this")),
  );
}
