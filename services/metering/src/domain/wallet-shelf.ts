import type { HeldUnits, WalletRow } from "./lease.ts";
import { available, micros } from "./money.ts";

/**
 * A wallet within one transaction: a bucket without a window. What is lent is neither available nor in the ledger
 * until a batch says what became of it. A holder that vanished may have spent it, and nothing but its spool can say:
 * it stays lent, but nobody waits for it.
 */
export class WalletShelf {
  readonly limitId: string;
  /** Unreported micros by holder, of those that may still return some. */
  readonly held: Map<string, number>;
  readonly #row: WalletRow;
  #leased: number;
  touched = false;

  constructor(row: WalletRow, held: readonly HeldUnits[]) {
    this.limitId = row.id;
    this.held = new Map(held.map(({ holder, units }) => [holder, units]));
    this.#row = row;
    this.#leased = row.leased;
  }

  get leased(): number {
    return this.#leased;
  }

  /** Below zero where more was spent or reported than was there. */
  get available(): number {
    const { balance, creditLimit } = this.#row;
    return available({ balance, creditLimit, leased: micros(this.#leased) });
  }

  take(micros: number): undefined {
    this.touched = true;
    this.#leased += micros;
  }

  /** It refills when somebody pays. */
  retryAfterMs(_need: number): undefined {
    return undefined;
  }
}

/** Ids of wallets, which are asked for as limits are. */
export function isWalletId(id: string): boolean {
  return id.startsWith(WALLET_PREFIX);
}

/** A lease of a wallet, so that who is told of a lease knows which rows it is in. */
export function newWalletLeaseId(): string {
  return LEASE_PREFIX + crypto.randomUUID();
}

export function isWalletLease(leaseId: string): boolean {
  return leaseId.startsWith(LEASE_PREFIX);
}

const WALLET_PREFIX = "wal_";
const LEASE_PREFIX = "wls_";
