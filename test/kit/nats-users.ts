import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accountsConfig, type Login, NATS_USERS, type NatsUser, SYSTEM_USER } from "@bimip/nats";

/** Logs in whoever names no user, may do everything: what tests ask of NATS themselves. */
const ADMIN = "admin";

/** The users of the permission table, with passwords in files. */
export interface TestNatsUsers {
  /** For nats-server's configuration file. */
  readonly config: string;
  /** The environment of a service that logs in as this user. */
  env(user: NatsUser): Record<string, string>;
}

/** @param dir made, and filled with one file per user */
export async function makeNatsUsers(dir: string, partitions: number): Promise<TestNatsUsers> {
  await mkdir(dir, { recursive: true });
  const fileOf = (user: string): string => join(dir, `${user}.password`);
  const logins = {} as Record<NatsUser, Login>;
  for (const user of NATS_USERS) {
    const password = randomBytes(16).toString("hex");
    await writeFile(fileOf(user), password);
    logins[user] = { password };
  }
  const admin = { name: ADMIN, login: { password: randomBytes(16).toString("hex") } };
  return {
    config: `${accountsConfig(logins, partitions, admin)}no_auth_user: ${ADMIN}`,
    env: (user) => ({
      BIMIP_NATS_USER: user,
      BIMIP_NATS_PASSWORD_FILE: fileOf(user),
      ...(user === "storage" && {
        BIMIP_NATS_SYSTEM_USER: SYSTEM_USER,
        BIMIP_NATS_SYSTEM_PASSWORD_FILE: fileOf(SYSTEM_USER),
      }),
    }),
  };
}
