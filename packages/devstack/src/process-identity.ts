import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";

/** A running process. A process id alone may have been given to another program since it was written down. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in a form that is only good for comparing; empty where the system does not tell. */
  readonly startedAt: string;
  /** Program and arguments, joined with spaces. */
  readonly commandLine: string;
}

/** The live process with this id; undefined when there is none, or only a zombie that nobody has waited for. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isThere(pid)) return undefined;
  return process.platform === "linux" ? fromProc(pid) : fromPs(pid);
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is a live one as well.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function fromProc(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, cmdline] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
    ]);
    // The second field is the name in parentheses, which may hold anything; proc(5) counts state as 3, starttime as 22.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    return { pid, startedAt: fields[19] ?? "", commandLine: cmdline.replace(/\0$/, "").replaceAll("\0", " ") };
  } catch {
    return undefined;
  }
}

function fromPs(pid: number): Promise<ProcessIdentity | undefined> {
  return new Promise((resolve) => {
    const env = { ...process.env, LC_ALL: "C" };
    execFile("ps", ["-ww", "-o", "stat=,lstart=,args=", "-p", String(pid)], { env }, (error, stdout) => {
      // Without ps (Windows) the process is known to live, and nothing else about it.
      if (error && "code" in error && error.code === "ENOENT") return resolve({ pid, startedAt: "", commandLine: "" });
      const [, state, startedAt, commandLine] = /^(\S+)\s+(\S+ +\S+ +\S+ +\S+ +\S+)\s+(.*)$/.exec(stdout.trim()) ?? [];
      if (!state || !startedAt || state.startsWith("Z")) return resolve(undefined);
      resolve({ pid, startedAt, commandLine: commandLine ?? "" });
    });
  });
}
