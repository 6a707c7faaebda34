/** The signature algorithms that tokens may use (RFC 7518, RFC 8037). */
export const ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"] as const;

export type Algorithm = (typeof ALGORITHMS)[number];

export function isAlgorithm(value: unknown): value is Algorithm {
  return ALGORITHMS.some((algorithm) => algorithm === value);
}
