import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";

/** PEM files: the certificate chain, the server's own first, and its private key. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What the two files hold, and that they belong together. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly subject: string;
  /** When the first of the chain expires, epoch milliseconds. */
  readonly expiresMs: number;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws Error naming the file that cannot be used, and why; what a key file holds is not in it */
export async function readCertificate({ certFile, keyFile }: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([read(certFile), read(keyFile)]);
  const chain = readChain(certFile, cert);
  const [own] = chain;
  if (own === undefined) throw new Error(`${certFile}: holds no certificate (PEM)`);
  if (!own.checkPrivateKey(readKey(keyFile, key))) {
    throw new Error(`${keyFile}: is not the private key of the first certificate in ${certFile}`);
  }
  const expiresMs = Math.min(...chain.map(({ validTo }) => Date.parse(validTo)));
  return { cert, key, subject: own.subject.replaceAll("\n", ", "), expiresMs };
}

/** Changes whenever one of the files does; a file that is not there has a state, too. */
export async function stateOf({ certFile, keyFile }: CertificateFiles): Promise<string> {
  const states = await Promise.all([certFile, keyFile].map(fileState));
  return states.join(" ");
}

async function fileState(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(",");
  } catch (error) {
    return codeOf(error);
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Error(`${path}: cannot be read (${codeOf(cause)})`, { cause });
  }
}

function readChain(path: string, pem: Buffer): X509Certificate[] {
  try {
    return (pem.toString("latin1").match(PEM_CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
  } catch (cause) {
    throw new Error(`${path}: holds a certificate that cannot be read (${codeOf(cause)})`, { cause });
  }
}

function readKey(path: string, pem: Buffer) {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error(`${path}: holds no private key without a passphrase (PEM; ${codeOf(cause)})`, { cause });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
