import { readFileSync } from "node:fs";

const SUPPORTED = { os: "linux", cpus: ["x64", "arm64"], libc: "glibc" };

/** npm's lists: names that fit, or `!` names that do not. */
const fits = (list, name) =>
  list === undefined || (list.some((one) => one.startsWith("!")) ? !list.includes(`!${name}`) : list.includes(name));

/**
 * The installed packages of package-lock.json, one row each. `supported`: it may be installed on linux x64 or arm64 with glibc;
 * `dev`: only for building and testing; `listedBy`: packages that have it as an optional dependency.
 */
export function readLockfile(file = "package-lock.json") {
  const { packages } = JSON.parse(readFileSync(file, "utf8"));
  const listedBy = new Map();
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) listedBy.set(name, [...(listedBy.get(name) ?? []), path]);
  }
  return Object.entries(packages)
    .filter(([path]) => path.includes("node_modules/"))
    .map(([path, { name: alias, os, cpu, libc, ...entry }]) => {
      const place = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      return {
        ...entry,
        path,
        // An alias says the package's real name.
        name: alias === undefined ? place : `${alias} (as ${place})`,
        dev: entry.dev === true || entry.devOptional === true,
        link: entry.link === true,
        supported:
          fits(os, SUPPORTED.os) && SUPPORTED.cpus.some((name) => fits(cpu, name)) && fits(libc, SUPPORTED.libc),
        listedBy: (listedBy.get(place) ?? []).map((lister) => packages[lister]),
      };
    });
}
