import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAnswerWatch } from "../answer-watch.js";
import { exists, mkdirs } from "../files.js";
import { runCommand } from "../run-command.js";
import { aptMirror } from "./apt-mirror.js";
import type { NatsSource, SourceContext } from "./source.js";

// The suite whose nats-server is new enough; the stable ones lag years behind.
const SUITE = "forky";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Debian's package of a newer suite, through a private apt root: nothing is installed and no root is needed. */
export function createAptSource(): NatsSource {
  return {
    name: "apt",
    async obtain(context) {
      const { tempDir, env, signal, onProgress } = context;
      const codename = await debianCodename();
      if (!(await exists(KEYRING))) throw new Error(`the archive's keys are not at ${KEYRING}`);
      const mirror = await aptMirror({ codename, env, signal });
      const config = await privateAptRoot(tempDir, mirror, await machineAcquireSettings(context));
      const ask = async (...args: string[]) => {
        const question = `apt-get ${args.join(" ")}`;
        const watch = createAnswerWatch(signal);
        watch.asked(question);
        const onLine = (line: string) => {
          if (/^(Get|Hit|Ign|Err):/.test(line)) watch.answered(question);
        };
        const aptEnv = { ...env, APT_CONFIG: config, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
        try {
          await runCommand({ command: "apt-get", args, cwd: tempDir, env: aptEnv, signal: watch.signal, onLine });
        } finally {
          watch.close();
        }
      };
      onProgress(`reading the package list of Debian ${SUITE}`);
      await ask("update");
      onProgress(`downloading the package nats-server of Debian ${SUITE}`);
      await ask("download", "nats-server");
      const deb = (await readdir(tempDir)).find((name) => name.endsWith(".deb"));
      if (!deb) throw new Error(`Debian ${SUITE} gave no package`);
      await runCommand({ command: "dpkg", args: ["-x", deb, "unpacked"], cwd: tempDir, env, signal });
      for (const folder of ["sbin", "bin"]) {
        const path = join(tempDir, "unpacked/usr", folder, "nats-server");
        if (await exists(path)) return path;
      }
      throw new Error(`${deb} holds no nats-server`);
    },
  };
}

async function debianCodename(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(release)?.[1];
  const codename = field("VERSION_CODENAME");
  if (field("ID") !== "debian" || !codename) throw new Error("this is not a Debian with a code name");
  return codename;
}

/** This machine's own `Acquire::` settings (proxies above all), which the private root goes by too. */
async function machineAcquireSettings({ env, signal }: SourceContext): Promise<string> {
  const dump = await runCommand({ command: "apt-config", args: ["dump"], env, signal });
  return dump
    .split("\n")
    .filter((line) => /^Acquire::[^ ]+ "[^"]+";$/.test(line))
    .join("\n");
}

/** Makes the folders and the configuration of an apt that shares nothing writable with the machine's own. */
async function privateAptRoot(root: string, mirror: string, acquireSettings: string): Promise<string> {
  await mkdirs(join(root, "lists/partial"), join(root, "cache/archives/partial"));
  await writeFile(join(root, "sources.list"), `deb [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`);
  const settings = {
    // The machine's own files would bring its hooks along, which run commands after an update.
    "Dir::Etc::Parts": "/dev/null",
    "Dir::Etc::Main": "/dev/null",
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Etc::SourceList": join(root, "sources.list"),
    "Dir::State::Lists": join(root, "lists"),
    "Dir::Cache": join(root, "cache"),
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    // apt's unprivileged user could not enter a private cache folder.
    "APT::Sandbox::User": "",
    "Acquire::Languages": "none",
    "Acquire::Retries": "0",
    "Acquire::http::Timeout": "5",
    "Acquire::https::Timeout": "5",
    // A frozen mirror is still signed; its date alone is no reason to refuse it.
    "Acquire::Check-Valid-Until": "false",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  const path = join(root, "apt.conf");
  await writeFile(path, `${acquireSettings}\n${lines.join("\n")}\n`);
  return path;
}
