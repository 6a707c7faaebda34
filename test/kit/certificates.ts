import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { isIPv4 } from "node:net";

/** A certificate and its key, PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  readonly name: string;
  /** Host names and IPv4 addresses that it is for; the name and 127.0.0.1 unless told. */
  readonly hosts?: readonly string[];
  /** From now on; negative: it has expired. Default 30. */
  readonly days?: number;
  /** RSA of 2048 bits, otherwise P-256. */
  readonly isRsa?: boolean;
  /** Who signs it: may be an authority made by this, else it signs itself. */
  readonly issuer?: TestCertificate;
  /** It may sign others. */
  readonly isAuthority?: boolean;
}

const DAY_MS = 86_400_000;
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";
const RSA_SHA256 = "1.2.840.113549.1.1.11";
const COMMON_NAME = "2.5.4.3";
const ALTERNATIVE_NAMES = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";

/** Makes an X.509 certificate (RFC 5280) and its key. */
export function makeCertificate(request: CertificateRequest): TestCertificate {
  const { name, hosts = [name, "127.0.0.1"], days = 30, isRsa = false, issuer, isAuthority = false } = request;
  const { publicKey, privateKey } = isRsa
    ? generateKeyPairSync("rsa", { modulusLength: 2_048 })
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = issuer === undefined ? privateKey : createPrivateKey(issuer.key);
  const issuerName = issuer === undefined ? name : commonNameOf(issuer);
  const untilMs = Date.now() + days * DAY_MS;
  const body = sequence(
    tagged(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithmOf(signer),
    distinguished(issuerName),
    sequence(time(Math.min(Date.now(), untilMs) - DAY_MS), time(untilMs)),
    distinguished(name),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(
      0xa3,
      sequence(
        extension(BASIC_CONSTRAINTS, isAuthority ? sequence(der(0x01, Buffer.from([0xff]))) : sequence()),
        extension(ALTERNATIVE_NAMES, sequence(...hosts.map(generalName))),
      ),
    ),
  );
  const signature = Buffer.concat([Buffer.from([0]), sign("sha256", body, signer)]);
  const certificate = sequence(body, algorithmOf(signer), der(0x03, signature));
  const lines = certificate.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function commonNameOf({ cert }: TestCertificate): string {
  return /CN=(.*)/.exec(new X509Certificate(cert).subject)?.[1] ?? "";
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const bytes = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function tagged(tag: number, content: Buffer): Buffer {
  return der(tag, content);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const number of rest) {
    const groups = [number & 0x7f];
    for (let left = number >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

function algorithmOf(key: KeyObject): Buffer {
  const isRsa = key.asymmetricKeyType === "rsa";
  return isRsa ? sequence(oid(RSA_SHA256), der(0x05, Buffer.alloc(0))) : sequence(oid(ECDSA_SHA256));
}

function distinguished(name: string): Buffer {
  return sequence(der(0x31, sequence(oid(COMMON_NAME), der(0x0c, Buffer.from(name)))));
}

/** UTCTime, which reaches until 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/\D/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), der(0x04, value));
}

function generalName(host: string): Buffer {
  return isIPv4(host) ? der(0x87, Buffer.from(host.split(".").map(Number))) : der(0x82, Buffer.from(host));
}
