import { priceInForce } from "@gatehouse/buckets";
import { matchesPattern } from "./limit.ts";
import { MOST_MICROS } from "./money.ts";
import type { Reckoning } from "./part-carries.ts";
import type { PriceChange } from "./price-changes.ts";
import type { Posting, Pricing } from "./pricing.ts";
import type { UsageEvent } from "./usage-event.ts";

/** An event, and what it costs by the price that was in force at its time, of whoever pays now. */
export type PricedEvent = UsageEvent & PriceChange & { readonly payerId: string };

export async function priceEvents(
  pricing: Pricing,
  events: readonly UsageEvent[],
  reckoning: Reckoning,
): Promise<readonly PricedEvent[]> {
  const meters = new Set(events.map(({ meter }) => meter));
  const prices = await pricing.prices([], [...meters]);
  if (prices.length === 0) return events.map((event) => ({ ...event, ...FREE }));
  const accounts = await pricing.accounts([...new Set(events.map(({ node }) => node.accountId))]);
  return events.map((event) => {
    const { node, meter, resource, atMs, units } = event;
    const account = accounts.get(node.accountId);
    if (account?.payerId === undefined) return { ...event, ...FREE };
    const { price } = priceInForce(prices, { meter, resource, ...account }, atMs, matchesPattern);
    if (price === undefined || price.micros === 0) return { ...event, ...FREE };
    const { payerId } = account;
    return { ...event, cost: reckoning.costOf(payerId, price, units), currency: price.currency, payerId };
  });
}

/** What the events take of wallets. */
export async function eventPostings(
  pricing: Pricing,
  reference: string,
  events: readonly PricedEvent[],
): Promise<readonly Posting[]> {
  const owed = new Map<string, { accountId: string; currency: string; micros: number }>();
  for (const { payerId: accountId, currency, cost } of events) {
    if (cost === 0) continue;
    const name = `${accountId} ${currency}`;
    const micros = Math.min((owed.get(name)?.micros ?? 0) + cost, MOST_MICROS);
    owed.set(name, { accountId, currency, micros });
  }
  const debts = [...owed.values()];
  const wallets = await pricing.wallets(debts);
  return debts.map(({ micros }, i) => ({ reference, walletId: wallets[i]!, micros }));
}

const FREE = { cost: 0, currency: "", payerId: "" };
