/** An open connection of the account, as the server sees it. */
export interface OpenSession {
  readonly device: string;
  /** The gateway that holds it. */
  readonly node: string;
  /** Unix epoch milliseconds. */
  readonly since: number;
  /** Unix epoch milliseconds; of an open connection, now. */
  readonly lastSeen: number;
  /** Where it comes from, as the gateway sees it. */
  readonly address: string;
  /** It is this client's. */
  readonly current: boolean;
}

/** What is to be refused from now on, until it has expired. One of the four. */
export interface Revocation {
  /** The token of this id. */
  readonly jti?: string;
  /** When that token expires, Unix epoch milliseconds, where it is known: so long it is remembered. Only beside `jti`. */
  readonly expiresAt?: number;
  /** This token, by the id in it. */
  readonly token?: string;
  /** All tokens up to now of this device. */
  readonly device?: string;
  /** All tokens up to now of this account, or with `device`, of its device. Others' accounts need a token with scope `admin`. */
  readonly eid?: string;
}

/** What the server thinks of a token. */
export type TokenCheck =
  | {
      readonly valid: true;
      readonly eid: string;
      readonly device: string;
      /** "" = it has none. */
      readonly jti: string;
      /** Unix epoch milliseconds; 0 = it does not expire. */
      readonly expiresAt: number;
    }
  /** `details` begin with the claim at fault. */
  | { readonly valid: false; readonly details: string };
