import { costOf, type Price, priceInForce } from "@gatehouse/buckets";
import { matchesPattern } from "./limit.ts";
import type { Posting, Pricing } from "./pricing.ts";
import type { Charged, HeldCost, HeldEstimate } from "./reservation.ts";

/**
 * What settled reservations cost other than their estimates, by the prices that were in force when they were decided.
 *
 * The estimate's cost stands as it was charged, fractions carried in and all; what changes is the whole micros between
 * the price of the estimate and that of what was used. A call that used nothing costs nothing. A meter without an
 * estimate is priced as of the minute that it is booked in. The difference goes to the wallet that the estimate was
 * taken of, and where it was taken of none, to that of whoever pays now.
 */
export interface UnpricedChange {
  readonly decisionId: string;
  readonly held: HeldEstimate;
  readonly meter: string;
  /** More than the estimate, or less; not 0. */
  readonly units: number;
}

/** In micros; the currency is empty for units that are free. */
export interface PriceChange {
  readonly cost: number;
  readonly currency: string;
}

export async function priceChanges(
  pricing: Pricing,
  changes: readonly UnpricedChange[],
): Promise<readonly PriceChange[]> {
  const costs = changes.map(({ held, meter }) => held.costs.find((cost) => cost.meter === meter));
  const ids = new Set(costs.flatMap((cost) => cost?.priceId ?? []));
  const unestimated = changes.filter(({ held, meter }) => !held.estimate.has(meter));
  const meters = new Set(unestimated.map(({ meter }) => meter));
  if (ids.size + meters.size === 0) return changes.map(() => FREE);
  const prices = await pricing.prices([...ids], [...meters]);
  const byId = new Map(prices.map((price) => [price.id, price]));
  const accountIds = new Set(unestimated.map(({ held }) => held.accountId));
  const accounts = accountIds.size === 0 ? new Map() : await pricing.accounts([...accountIds]);
  return changes.map((change, i) => {
    const cost = costs[i];
    if (cost !== undefined) return { cost: costChange(change, cost, byId), currency: cost.currency };
    const { held, meter, units } = change;
    if (held.estimate.has(meter)) return FREE;
    const account = accounts.get(held.accountId);
    if (account?.payerId === undefined) return FREE;
    const use = { meter, resource: held.resource, ...account };
    const { price } = priceInForce(prices, use, held.minute * 60_000, matchesPattern);
    if (price === undefined || price.micros === 0) return FREE;
    return { cost: costOf(units, price).micros, currency: price.currency };
  });
}

/** What a reservation costs in the end: what its estimate was charged, and what changed. */
export function chargedInTheEnd({ costs }: HeldEstimate, changes: readonly PriceChange[]): Charged {
  const sums = new Map<string, number>();
  const add = (currency: string, micros: number) => sums.set(currency, (sums.get(currency) ?? 0) + micros);
  for (const { currency, micros } of costs) add(currency, micros);
  for (const { currency, cost } of changes) add(currency, cost);
  return new Map([...sums].filter(([, micros]) => micros !== 0));
}

/** What the changes take of wallets, or give back. */
export async function postingsOf(
  pricing: Pricing,
  changes: readonly (UnpricedChange & PriceChange)[],
): Promise<readonly Posting[]> {
  const priced = changes.filter(({ cost }) => cost !== 0);
  if (priced.length === 0) return [];
  const drawn = new Set(priced.flatMap(({ held }) => held.walletIds));
  const currencies = await pricing.currencies([...drawn]);
  const own = priced.map(({ held, currency }) =>
    held.walletIds.find((id) => currencies.get(id) === currency),
  );
  const others = priced.filter((_, i) => own[i] === undefined);
  const payers = await pricing.accounts([...new Set(others.map(({ held }) => held.accountId))]);
  const paid = others.filter(({ held }) => payers.get(held.accountId)?.payerId !== undefined);
  const wallets = await pricing.wallets(
    paid.map(({ held, currency }) => ({ accountId: payers.get(held.accountId)!.payerId!, currency })),
  );
  const opened = new Map(paid.map((change, i) => [change, wallets[i]!]));
  const postings = new Map<string, Posting>();
  for (const [i, change] of priced.entries()) {
    const walletId = own[i] ?? opened.get(change);
    if (walletId === undefined) continue;
    const reference = `reservation ${change.decisionId}`;
    const name = `${reference} ${walletId}`;
    const micros = (postings.get(name)?.micros ?? 0) + change.cost;
    postings.set(name, { reference, walletId, micros });
  }
  return [...postings.values()];
}

const FREE: PriceChange = { cost: 0, currency: "" };

function costChange(
  { held, meter, units }: UnpricedChange,
  { micros, priceId }: HeldCost,
  prices: ReadonlyMap<string, Price>,
): number {
  const estimate = held.estimate.get(meter)!;
  const used = estimate + units;
  if (used === 0) return -micros;
  // Prices are never forgotten; where one was lost with a database, the estimate says what it was.
  const price = prices.get(priceId) ?? { micros, perUnits: estimate };
  return Math.max(costOf(used, price).micros - costOf(estimate, price).micros, -micros);
}
