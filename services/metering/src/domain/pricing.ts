import type { Price } from "@gatehouse/buckets";

/** What prices of calls on an account hang on, and whose wallets pay for them. */
export interface PricedAccount {
  /** Its own. */
  readonly accountType: string;
  /** Its organization's. */
  readonly plan: string;
  /** Undefined for the provider's own account, whose calls are free. */
  readonly payerId: string | undefined;
}

/** What usage takes of a wallet, or gives back. */
export interface Posting {
  /** What names it among all: it is posted once under that. */
  readonly reference: string;
  readonly walletId: string;
  /** Below zero for what is given back. */
  readonly micros: number;
}

/** Prices, payers and the ledger, within a transaction; for usage that no lease of a wallet paid for. */
export interface Pricing {
  /** The prices with these ids, and every one of these meters. */
  prices(ids: readonly string[], meters: readonly string[]): Promise<readonly Price[]>;
  /** Those that the mirror knows. */
  accounts(ids: readonly string[]): Promise<ReadonlyMap<string, PricedAccount>>;
  currencies(walletIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** The wallets' ids, in order; those that are not there are opened. */
  wallets(names: readonly { readonly accountId: string; readonly currency: string }[]): Promise<string[]>;
  /**
   * Posts to the ledger, once. It may take a balance as low as it goes, for the usage has been: then what is lent of the
   * wallet is called back. Locks the wallets by id: after every other bucket, and before usage is booked, as batches do.
   */
  post(postings: readonly Posting[]): Promise<void>;
}
