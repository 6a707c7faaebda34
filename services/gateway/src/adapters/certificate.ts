import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { codeOf, fileState } from "@bimip/runtime";

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

const CERT_SETTING = "BIMIP_TLS_CERT_FILE";
const KEY_SETTING = "BIMIP_TLS_KEY_FILE";
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws Error naming the setting and the file that cannot be used, and why; what a key file holds is not in it */
export async function readCertificate({ certFile, keyFile }: CertificateFiles): Promise<Certificate> {
  const [certAt, keyAt] = [`${CERT_SETTING}: ${certFile}`, `${KEY_SETTING}: ${keyFile}`];
  const [cert, key] = await Promise.all([read(certFile, certAt), read(keyFile, keyAt)]);
  const chain = readChain(certAt, cert);
  const [own] = chain;
  if (own === undefined) throw new Error(`${certAt}: holds no certificate (PEM)`);
  if (!own.checkPrivateKey(readKey(keyAt, key))) {
    throw new Error(`${keyAt}: is not the private key of the first certificate in ${certFile}`);
  }
  const expiresMs = Math.min(...chain.map(({ validTo }) => Date.parse(validTo)));
  return { cert, key, subject: own.subject.replaceAll("\n", ", "), expiresMs };
}

/** Both, for texts. */
export function nameFiles({ certFile, keyFile }: CertificateFiles): string {
  return `${CERT_SETTING} and ${KEY_SETTING}: ${certFile}, ${keyFile}`;
}

/** Changes whenever one of the files does; a file that is not there has a state, too. */
export async function stateOf({ certFile, keyFile }: CertificateFiles): Promise<string> {
  const states = await Promise.all([certFile, keyFile].map(fileState));
  return states.join(" ");
}

async function read(path: string, where: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Error(`${where}: cannot be read (${codeOf(cause)})`, { cause });
  }
}

function readChain(where: string, pem: Buffer): X509Certificate[] {
  try {
    return (pem.toString("latin1").match(PEM_CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
  } catch (cause) {
    throw new Error(`${where}: holds a certificate that cannot be read (${codeOf(cause)})`, { cause });
  }
}

function readKey(where: string, pem: Buffer) {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error(`${where}: holds no private key without a passphrase (PEM; ${codeOf(cause)})`, { cause });
  }
}
