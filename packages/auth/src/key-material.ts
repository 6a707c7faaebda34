import type { KeyObject } from "node:crypto";
import type { Algorithm } from "./algorithm.js";
import { KeyError } from "./key-error.js";

const minRsaBits = 2_048;
// Beyond, one signature takes a gateway longer than all the rest of a connection.
const maxRsaBits = 8_192;

/**
 * The one algorithm that a public or private key is for.
 *
 * @throws KeyError where it is for none of ours, or too weak for it
 */
export function algorithmOf(key: KeyObject): Algorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key;
  if (type === "rsa") {
    checkRsa(details);
    return "RS256";
  }
  if (type === "ec") {
    if (details.namedCurve === "prime256v1") return "ES256";
    throw new KeyError("is not on the curve P-256, the one that is supported");
  }
  if (type === "ed25519") return "EdDSA";
  throw new KeyError(`is of the kind ${type ?? "secret"}; supported are RSA, EC P-256 and Ed25519`);
}

function checkRsa({ modulusLength = 0, publicExponent = 0n }: NonNullable<KeyObject["asymmetricKeyDetails"]>): void {
  if (modulusLength < minRsaBits)
    throw new KeyError(`is an RSA key of ${modulusLength} bits, at least ${minRsaBits} are needed`);
  if (modulusLength > maxRsaBits)
    throw new KeyError(`is an RSA key of ${modulusLength} bits, at most ${maxRsaBits} are supported`);
  // With the exponent 1 every text is its own signature.
  if (publicExponent < 3n || publicExponent % 2n === 0n)
    throw new KeyError("is an RSA key with an exponent that is no use");
}
