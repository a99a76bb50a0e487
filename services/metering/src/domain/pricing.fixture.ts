import type { Price } from "@gatehouse/buckets";
import type { Posting, PricedAccount, Pricing } from "./pricing.ts";

/** Prices in the test's hands; what was posted is kept. */
export class FakePricing implements Pricing {
  readonly all: Price[] = [];
  readonly payers = new Map<string, PricedAccount>();
  /** Currencies by wallet. */
  readonly open = new Map<string, string>();
  readonly posted: Posting[] = [];

  async prices(ids: readonly string[], meters: readonly string[]): Promise<Price[]> {
    return this.all.filter(({ id, meter }) => ids.includes(id) || meters.includes(meter));
  }
  async accounts(ids: readonly string[]): Promise<ReadonlyMap<string, PricedAccount>> {
    return new Map([...this.payers].filter(([id]) => ids.includes(id)));
  }
  async currencies(walletIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return new Map([...this.open].filter(([id]) => walletIds.includes(id)));
  }
  async wallets(names: readonly { accountId: string; currency: string }[]): Promise<string[]> {
    return names.map(({ accountId, currency }) => {
      this.open.set(`wal_${accountId}_${currency}`, currency);
      return `wal_${accountId}_${currency}`;
    });
  }
  async post(postings: readonly Posting[]): Promise<void> {
    this.posted.push(...postings);
  }
}

/** Two micros of USD for three tokens, but for what is said. */
export function priceOf(price: Partial<Price> = {}): Price {
  return {
    id: "prc_1",
    meter: "tokens",
    resource: "",
    plan: "",
    accountType: "",
    currency: "USD",
    micros: 2,
    perUnits: 3,
    effectiveAtMs: 0,
    ...price,
  };
}
