import { costOf, payerOf } from "@gatehouse/buckets";
import type { Moment } from "@gatehouse/changefeed";
import type { AccountEntry } from "./entry.ts";
import { type MetBucket, metBucket } from "./explain-buckets.ts";
import type { LeasePool } from "./lease-pool.ts";
import type { Need } from "./lease-source.ts";
import { walletLimit } from "./limit.ts";
import type { Prices } from "./price-book.ts";
import { termsOf } from "./toll.ts";

/** What metering says of an account's wallets, in micros. */
export interface MoneyReading {
  readonly accountId: string;
  readonly usesParentBalance: boolean;
  readonly wallets: readonly WalletReading[];
}

export interface WalletReading {
  readonly id: string;
  readonly currency: string;
  readonly balance: number;
  readonly creditLimit: number;
  readonly leased: number;
  /** What of `leased` is lent to this replica. */
  readonly leasedHere: number;
}

/**
 * The wallets that the call draws on, one for each of its currencies, with what it costs by the prices in force. One that
 * the payer does not have is there with nothing in it, and without an id.
 */
export function metWallets(
  money: readonly MoneyReading[],
  target: readonly AccountEntry[],
  resource: string,
  needs: readonly Need[],
  prices: Pick<Prices, "inForce">,
  pool: Pick<LeasePool, "inHand" | "bucket">,
  now: Moment,
): MetBucket[] {
  const payer = payerOf(money);
  if (payer === undefined) return [];
  const terms = termsOf(target);
  const costs = new Map<string, number>();
  for (const { meter, units } of needs) {
    const { price } = prices.inForce({ meter, resource, ...terms }, now.wallMs);
    if (price === undefined || price.micros === 0 || units === 0) continue;
    const wallet = payer.wallets.find(({ currency }) => currency === price.currency);
    // As Verify would charge it: with what was carried.
    const carried = wallet === undefined ? 0 : (pool.bucket(wallet.id)?.carryOf(price.id).parts ?? 0);
    const cost = costOf(units, price, Math.max(carried, 0)).micros;
    costs.set(price.currency, (costs.get(price.currency) ?? 0) + cost);
  }
  return [...costs].map(([currency, micros]) => {
    const { id, balance, creditLimit, leased, leasedHere } =
      payer.wallets.find((wallet) => wallet.currency === currency) ?? NONE;
    const reading = {
      limit: walletLimit(id, payer.accountId, currency),
      unitsPerMs: undefined,
      // No wait helps.
      capacity: 0,
      used: 0,
      leased,
      leasedHere,
      remaining: balance + creditLimit - leased,
      resetsAtMs: undefined,
    };
    const met = metBucket(reading, micros, pool.inHand(id, now), now);
    return id === "" ? { ...met, outcome: "FAILED" as const } : met;
  });
}

const NONE: WalletReading = {
  id: "",
  currency: "",
  balance: 0,
  creditLimit: 0,
  leased: 0,
  leasedHere: 0,
};
