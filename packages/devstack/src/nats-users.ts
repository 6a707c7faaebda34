import { randomBytes } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accountsConfig, type Login, NATS_USERS, type NatsAccess, type NatsUser, SYSTEM_USER } from "@bimip/nats";
import { exists, readIfThere } from "./files.js";
import type { NatsLogin } from "./jetstream-probe.js";

const PASSWORD_BYTES = 24;
/** May do everything: for looking at things by hand, and for tests. */
const ADMIN = "admin";

/** The users of the development profile's nats-server, each with the permissions that it has in production. */
export interface DevNatsUsers {
  /** For nats-server's configuration file. */
  readonly config: string;
  readonly admin: NatsLogin;
  /** The environment of a service that logs in as this user. */
  env(user: NatsUser): NodeJS.ProcessEnv;
}

/** The user of a process of the stack, by its name: `awareness-2` is an `awareness`. */
export function natsUserOf(process: string): NatsUser | undefined {
  return NATS_USERS.find((user) => user === process.replace(/-\d+$/, ""));
}

/** Earlier versions kept everything in NATS's account for those without a user: that becomes the account BIMIP. */
export async function adoptOldStore(storeDir: string): Promise<void> {
  const [old, ours] = [join(storeDir, "jetstream", "$G"), join(storeDir, "jetstream", "BIMIP")];
  if ((await exists(old)) && !(await exists(ours))) await rename(old, ours);
}

/** Where a data directory keeps the password of a user. */
export function natsPasswordFile(dataDir: string, user: NatsUser | typeof ADMIN): string {
  return join(dataDir, "nats-users", `${user}.password`);
}

/** How to log in to the nats-server of this data directory as somebody who may do everything. */
export function adminAccess(dataDir: string, servers: string): NatsAccess {
  return { servers, user: ADMIN, passwordFile: natsPasswordFile(dataDir, ADMIN) };
}

/**
 * Reads the passwords of this data directory, and makes those that are missing: one file for each user, readable by its owner
 * only.
 */
export async function keptNatsUsers(dataDir: string, partitions: number): Promise<DevNatsUsers> {
  await mkdir(join(dataDir, "nats-users"), { recursive: true, mode: 0o700 });
  const logins = {} as Record<NatsUser, Login>;
  for (const user of NATS_USERS) logins[user] = { password: await keptPassword(natsPasswordFile(dataDir, user)) };
  const admin = { user: ADMIN, password: await keptPassword(natsPasswordFile(dataDir, ADMIN)) };
  return {
    config: accountsConfig(logins, partitions, { name: ADMIN, login: { password: admin.password } }),
    admin,
    env: (user) => ({
      BIMIP_NATS_USER: user,
      BIMIP_NATS_PASSWORD_FILE: natsPasswordFile(dataDir, user),
      // Gateways and the like need no way into the system account.
      ...(user === "storage" && {
        BIMIP_NATS_SYSTEM_USER: SYSTEM_USER,
        BIMIP_NATS_SYSTEM_PASSWORD_FILE: natsPasswordFile(dataDir, SYSTEM_USER),
      }),
    }),
  };
}

async function keptPassword(path: string): Promise<string> {
  const kept = (await readIfThere(path))?.trim();
  if (kept !== undefined && kept !== "") return kept;
  const password = randomBytes(PASSWORD_BYTES).toString("base64url");
  await writeFile(path, `${password}\n`, { mode: 0o600 });
  return password;
}
