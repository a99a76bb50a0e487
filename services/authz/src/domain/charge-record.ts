import type { Moment } from "@gatehouse/changefeed";
import { type ChargePath, sameNeeds } from "./charge-path.ts";
import type { Cost } from "./decision.ts";
import type { KeyEntry } from "./entry.ts";
import type { Journal } from "./journal.ts";
import type { Need } from "./lease-source.ts";
import type { Payment } from "./toll.ts";

/**
 * Records what a call charged and what that cost. The journal's handles stay with the path as long as what it is
 * charged for does, and by which prices.
 */
export function recordCharges(
  journal: Journal,
  entry: KeyEntry,
  path: ChargePath,
  needs: readonly Need[],
  payments: readonly Payment[] | undefined,
  now: Moment,
): void {
  const tolls = path.plan?.tolls;
  if (path.seriesOf === undefined || path.seriesTolls !== tolls || !sameNeeds(path.seriesOf, needs)) {
    const accountId = path.target[0]!.id;
    const { resource } = path;
    path.series = needs.map(({ meter }, i) => {
      const price = payments?.find(({ need }) => need === i)?.price;
      return journal.series({ keyId: entry.key.id, accountId, meter, resource, outcome: "VALID", price });
    });
    path.seriesOf = needs;
    path.seriesTolls = tolls;
  }
  const minute = Math.floor(now.wallMs / 60_000);
  for (let i = 0; i < needs.length; i++) {
    const { units } = needs[i]!;
    if (units > 0) journal.charge(path.series[i]!, minute, units, microsOf(payments, i));
  }
}

/** What a call costs, by currency; undefined where it is free. */
export function costsOf(payments: readonly Payment[] | undefined): readonly Cost[] | undefined {
  if (payments === undefined) return undefined;
  const costs: { currency: string; micros: number }[] = [];
  for (const { price, micros } of payments) {
    const same = costs.find(({ currency }) => currency === price.currency);
    if (same === undefined) costs.push({ currency: price.currency, micros });
    else same.micros += micros;
  }
  return costs;
}

function microsOf(payments: readonly Payment[] | undefined, need: number): number {
  if (payments === undefined) return 0;
  for (const payment of payments) if (payment.need === need) return payment.micros;
  return 0;
}
