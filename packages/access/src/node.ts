/**
 * The nodes that decisions are made of, as every service knows them: identity from its tables, authz and
 * metering from the change feed. They carry no secrets, only hashes of 256-bit random ones.
 */

export type KeyKind = "MASTER" | "ACCOUNT" | "SUB";
export type KeyStatus = "ENABLED" | "DISABLED" | "REVOKED";
export type AccountStatus = "ACTIVE" | "SUSPENDED" | "CLOSED";

/** An account. `parentId` and `organizationId` are absent for the root; `organizationId` of an organization is its own id. */
export interface AccountNode {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly organizationId: string | undefined;
  readonly slug: string;
  readonly status: AccountStatus;
  readonly labels: Readonly<Record<string, string>>;
}

/** A key. Times are Unix milliseconds; `secretHashes` are SHA-256, base64url, of each credential valid now. */
export interface KeyNode {
  readonly id: string;
  readonly accountId: string;
  readonly parentKeyId: string | undefined;
  readonly kind: KeyKind;
  readonly status: KeyStatus;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly secretHashes: readonly string[];
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
}

/** A key with all that it depends on: its parent key, and its account's chain, own account first, root last. */
export interface KeyView {
  readonly key: KeyNode;
  readonly parent: KeyNode | undefined;
  readonly chain: readonly AccountNode[];
}
