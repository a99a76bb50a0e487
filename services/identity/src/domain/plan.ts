/** What an organization bought. Only enabled keys count. The root has no plan and no bounds. */
export interface Plan {
  readonly name: string;
  /** Levels of accounts below the organization. */
  readonly depth: number;
  /** Accounts below the organization, closed ones not counted. */
  readonly accounts: number;
  /** Master and account keys of one account. */
  readonly keysPerAccount: number;
  /** Sub-keys of one account, over all its keys. */
  readonly subKeysPerAccount: number;
}

export const DEFAULT_PLAN: Plan = {
  name: "default",
  depth: 1,
  accounts: 10_000,
  keysPerAccount: 100,
  subKeysPerAccount: 1000,
};
