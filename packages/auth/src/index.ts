export { AuthError } from "./auth-error.js";
export type { Claims } from "./claims.js";
export { issueToken, type TokenOptions } from "./issue-token.js";
export { secretBytes } from "./secret.js";
export { createVerifier, type Verifier } from "./verifier.js";
