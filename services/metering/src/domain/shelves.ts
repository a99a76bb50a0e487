import type { Stock } from "./lease.ts";
import type { Shelf, Shelves } from "./ledger.ts";
import { isQuota, isRate, limitIdOf } from "./limit.ts";
import { QuotaBucket } from "./quota-shelf.ts";
import { RateShelf } from "./rate-shelf.ts";
import { WalletShelf } from "./wallet-shelf.ts";

/** The buckets that are locked, as their limits are now; none of a limit that is gone. */
export function shelvesOf(stock: Stock): Shelves {
  const { nowMs, terms } = stock;
  const limits = new Map(terms.limits.map((limit) => [limit.id, limit]));
  const quotaLeases = Map.groupBy(stock.quotaLeases, ({ limitId }) => limitIdOf(limitId));
  const rateLeases = Map.groupBy(stock.rateLeases, ({ limitId }) => limitId);
  const walletLeases = Map.groupBy(stock.walletLeases, ({ limitId }) => limitId);
  const shelves = new Map<string, Shelf>();
  for (const [limitId, rows] of Map.groupBy(stock.quotas, (row) => row.limitId)) {
    const limit = limits.get(limitId);
    if (limit === undefined || !isQuota(limit)) continue;
    const bucket = new QuotaBucket(limit, rows, quotaLeases.get(limitId) ?? [], nowMs);
    for (const shelf of bucket.shelves) shelves.set(shelf.limitId, shelf);
  }
  for (const { limitId, state } of stock.rates) {
    const limit = limits.get(limitId);
    if (limit === undefined || !isRate(limit)) continue;
    const leases = rateLeases.get(limitId) ?? [];
    shelves.set(limitId, new RateShelf(limitId, limit.allowance, state, leases, nowMs));
  }
  for (const row of stock.wallets) shelves.set(row.id, new WalletShelf(row, walletLeases.get(row.id) ?? []));
  return shelves;
}
