import { execFile } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CliError } from "../cli-error.js";

const CA_DAYS = 3_650;
const DAYS = 825;

/** A certificate to have: its files are `<name>.pem` and `<name>-key.pem`. */
export interface CertificatePlan {
  readonly name: string;
  /** Names or addresses that a server is reached at; none: for a client only. */
  readonly hosts: readonly string[];
}

/** The files of a certificate. */
export function certificateFiles(dir: string, name: string): { certFile: string; keyFile: string } {
  return { certFile: join(dir, `${name}.pem`), keyFile: join(dir, `${name}-key.pem`) };
}

export function authorityFile(dir: string): string {
  return join(dir, "ca.pem");
}

/**
 * Makes a private authority and the certificates that are missing, with the program `openssl`. Nothing is overwritten: to
 * renew one, remove its two files first.
 *
 * @returns the files that were made
 * @throws CliError without openssl, or without the authority's key, or when a certificate that is there is for other hosts or of another authority
 */
export async function ensureCertificates(dir: string, plans: readonly CertificatePlan[]): Promise<string[]> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  const work = await mkdtemp(join(tmpdir(), "bimip-tls-"));
  try {
    const authorityKey = certificateFiles(dir, "ca").keyFile;
    const isNew = !(await exists(authorityFile(dir)));
    if (isNew && (await exists(authorityKey)))
      throw new CliError(`${authorityFile(dir)} is missing, its key is there: put it back, or remove the key, too`);
    if (isNew) made.push(...(await makeAuthority(dir, work)));
    for (const plan of plans) {
      const { certFile } = certificateFiles(dir, plan.name);
      if (await exists(certFile)) await checkCertificate(dir, certFile, plan);
      else if (!(await exists(authorityKey)))
        throw new CliError(`${authorityKey} is not there, and ${certFile} is to be made: put it back for that long`);
      else made.push(...(await makeCertificate(dir, work, plan)));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return made;
}

async function makeAuthority(dir: string, work: string): Promise<string[]> {
  const { keyFile } = certificateFiles(dir, "ca");
  const config = await writeConfig(work, "BIMIP NATS authority", [
    "basicConstraints = critical, CA:TRUE, pathlen:0",
    "keyUsage = critical, keyCertSign, cRLSign",
    "subjectKeyIdentifier = hash",
  ]);
  const days = ["-days", String(CA_DAYS), "-set_serial", serial()];
  await openssl("req", "-x509", ...newKey(keyFile), "-out", authorityFile(dir), ...days, "-config", config);
  await chmod(keyFile, 0o600);
  return [authorityFile(dir), keyFile];
}

async function makeCertificate(dir: string, work: string, { name, hosts }: CertificatePlan): Promise<string[]> {
  const { certFile, keyFile } = certificateFiles(dir, name);
  const isServer = hosts.length > 0;
  const config = await writeConfig(work, name, [
    "basicConstraints = critical, CA:FALSE",
    "keyUsage = critical, digitalSignature",
    // A server is the client of a route that it dials.
    `extendedKeyUsage = ${isServer ? "serverAuth, clientAuth" : "clientAuth"}`,
    ...(isServer ? [`subjectAltName = ${hosts.map((host) => `${isIP(host) ? "IP" : "DNS"}:${host}`).join(", ")}`] : []),
    "subjectKeyIdentifier = hash",
    "authorityKeyIdentifier = keyid",
  ]);
  const request = join(work, "request.pem");
  await openssl("req", "-new", ...newKey(keyFile), "-out", request, "-config", config);
  await chmod(keyFile, 0o600);
  const authority = ["-CA", authorityFile(dir), "-CAkey", certificateFiles(dir, "ca").keyFile, "-set_serial", serial()];
  const extensions = ["-extfile", config, "-extensions", "extensions"];
  const certificate = join(work, "certificate.pem");
  await openssl(
    "x509",
    "-req",
    "-in",
    request,
    "-out",
    certificate,
    ...authority,
    "-days",
    String(DAYS),
    ...extensions,
  );
  await copyFile(certificate, certFile);
  return [certFile, keyFile];
}

function newKey(keyFile: string): string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
}

function serial(): string {
  return `0x00${randomBytes(15).toString("hex")}`;
}

/** Everything in a file of our own: what the system's configuration of openssl says does not count. */
async function writeConfig(work: string, commonName: string, extensions: readonly string[]): Promise<string> {
  const path = join(work, "openssl.cnf");
  const lines = [
    "[req]",
    "prompt = no",
    "distinguished_name = name",
    "x509_extensions = extensions",
    "[name]",
    `CN = ${commonName}`,
    "[extensions]",
    ...extensions,
    "",
  ];
  await writeFile(path, lines.join("\n"));
  return path;
}

async function openssl(...args: string[]): Promise<void> {
  try {
    await promisify(execFile)("openssl", args);
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    if (isMissing)
      throw new CliError("--tls needs the program openssl: install it, or put certificates of yours into tls/", {
        cause,
      });
    const said = cause instanceof Error && "stderr" in cause ? String(cause.stderr).trim() : String(cause);
    throw new CliError(`openssl ${args[0]} failed: ${said}`, { cause });
  }
}

async function checkCertificate(dir: string, certFile: string, { hosts }: CertificatePlan): Promise<void> {
  const certificate = new X509Certificate(await readFile(certFile));
  const authority = new X509Certificate(await readFile(authorityFile(dir)));
  if (certificate.issuer === authority.subject && !certificate.verify(authority.publicKey))
    throw new CliError(`${certFile} is of an older ca.pem: remove it and its key, and they are made anew`);
  const strange = hosts.find(
    (host) => (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)) === undefined,
  );
  if (strange !== undefined)
    throw new CliError(`${certFile} is not for ${strange}: remove it and its key, and they are made anew`);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
