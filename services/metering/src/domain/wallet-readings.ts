import type { Micros } from "./money.ts";

/** A wallet and what is in it. */
export interface WalletReading {
  readonly id: string;
  readonly currency: string;
  readonly balance: Micros;
  /** What calls may use of it. */
  readonly creditLimit: Micros;
  /** Of an organization's, what accounts below it have besides. */
  readonly creditGiven: Micros;
  readonly leased: Micros;
  /** What of that is lent to the holder that was asked about. */
  readonly leasedToHolder: Micros;
}

/** Whom calls on an account draw on, and what is there. */
export interface AccountMoney {
  readonly accountId: string;
  readonly usesParentBalance: boolean;
  readonly wallets: readonly WalletReading[];
}

export interface WalletReadings {
  /** Of the accounts among the nodes, in their order. */
  readMoney(nodeIds: readonly string[], holder: string): Promise<readonly AccountMoney[]>;
}
