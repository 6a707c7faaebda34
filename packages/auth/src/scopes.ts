/** The words of a token's `scope` that BIMIP knows. Without any of them a token does what an ordinary client needs. */
export const SCOPES = {
  /** Does to all accounts what everyone may do to their own: validates and revokes tokens, logs out sessions. */
  admin: "admin",
  /** What it sends leaves no copy in its own log. */
  noCopy: "no-copy",
  /** Sends PushNotification. */
  push: "push",
  /** Begins to renew tokens. */
  refresh: "refresh",
} as const;
