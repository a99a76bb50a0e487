import { type RateState, rate, windowAt } from "@gatehouse/buckets";
import { isOverdrawn, leftOf } from "./drawn-bucket.ts";
import { countsResource, isQuota, isRate, type Limit, limitIdOf } from "./limit.ts";
import {
  chargedInTheEnd,
  type PriceChange,
  postingsOf,
  priceChanges,
  type UnpricedChange,
} from "./price-changes.ts";
import {
  type Charged,
  differences,
  type HeldEstimate,
  type Reservation,
  type Settlement,
} from "./reservation.ts";
import type { ReservationTx } from "./reservation-store.ts";
import { CHARGED, type MinuteUsage } from "./usage.ts";

/**
 * Books what reserved calls cost other than their estimates.
 *
 * Usage: the difference goes into the estimate's own series and minute, so that every sum that had the estimate has
 * the cost. Buckets: it goes where the estimate was taken, the very bucket of the very window. So what is given back
 * was drawn there (a limit set since gets nothing), and what is booked and what is drawn stay one number, also for a
 * window that is over. A meter without an estimate is drawn from the quotas that count it now, in the window of the
 * estimate's minute.
 *
 * Money: what the difference costs is a row of the ledger of its own, see price-changes.ts.
 *
 * Rates: units above the estimate are drawn now, which may leave less than nothing; units below it are not given
 * back. A rate promises what is admitted in any interval, a reservation counted at its estimate, and has refilled.
 */
export type SettledReservation = Reservation & {
  readonly held: HeldEstimate;
  readonly settlement: Settlement;
};

/** Answers what each costs that was booked; those whose accounts are not known yet were not. */
export async function bookSettlements(
  tx: ReservationTx,
  settled: readonly SettledReservation[],
  nowMs: number,
): Promise<ReadonlyMap<string, Charged>> {
  if (settled.length === 0) return new Map();
  const paths = await tx.paths([...new Set(settled.map(({ held }) => held.accountId))]);
  const known = settled.filter(({ held }) => paths.has(held.accountId));
  const unpriced = known.flatMap((reservation) => changesOf(reservation, paths));
  const prices = unpriced.length === 0 ? [] : await priceChanges(tx.pricing, unpriced);
  const changes = unpriced.map((change, i) => ({ ...change, ...prices[i]! }));
  if (changes.length > 0) {
    await bookChanges(tx, changes, nowMs);
    await tx.pricing.post(await postingsOf(tx.pricing, changes));
    await tx.bookUsage(changes.map(usageOf));
  }
  const ofEach = Map.groupBy(changes, ({ decisionId }) => decisionId);
  const booked = new Map(
    known.map(({ decisionId, held }) => [decisionId, chargedInTheEnd(held, ofEach.get(decisionId) ?? [])]),
  );
  await tx.markBooked(booked);
  return booked;
}

/** What one meter of one call cost more than its estimate, or less. */
interface Change extends UnpricedChange {
  readonly nodeIds: readonly string[];
}

function changesOf(
  { decisionId, held, settlement }: SettledReservation,
  paths: ReadonlyMap<string, readonly string[]>,
): Change[] {
  const keyIds = held.parentKeyId === "" ? [held.keyId] : [held.keyId, held.parentKeyId];
  const nodeIds = [...keyIds, ...paths.get(held.accountId)!];
  const changes = differences(held.estimate, settlement);
  return [...changes].map(([meter, units]) => ({ decisionId, held, nodeIds, meter, units }));
}

function usageOf({ held, meter, units, cost, currency }: Change & PriceChange): MinuteUsage {
  const { minute, keyId, accountId, resource } = held;
  const charged = { outcome: CHARGED, units: BigInt(units), cost: BigInt(cost), currency };
  return { minute, keyId, accountId, meter, resource, ...charged };
}

async function bookChanges(tx: ReservationTx, changes: readonly Change[], nowMs: number): Promise<void> {
  const rising = changes.filter(({ units }) => units > 0);
  const nodeIds = new Set(rising.flatMap((change) => change.nodeIds));
  const drawnIds = new Set(
    changes.flatMap(({ held }) => held.draws.map(({ limitId }) => limitIdOf(limitId))),
  );
  const limits = await tx.limits([...nodeIds], [...drawnIds]);
  const byId = new Map(limits.map((limit) => [limit.id, limit]));
  const byNode = Map.groupBy(limits, ({ node }) => node.id);

  const draws = new Tally();
  for (const change of changes) drawWhereTaken(change, byId, draws);
  const charged = new Tally();
  const unestimated: { limit: Limit; change: Change }[] = [];
  for (const change of rising) {
    for (const limit of change.nodeIds.flatMap((id) => byNode.get(id) ?? [])) {
      if (limit.meter !== change.meter || !countsResource(limit, change.held.resource)) continue;
      if (isRate(limit)) charged.add(limit.id, change.units);
      else if (!isEstimated(change)) unestimated.push({ limit, change });
    }
  }
  await drawWhereCounted(tx, unestimated, draws);

  const buckets = draws.isEmpty ? [] : await tx.draw(draws.units);
  const rates = charged.isEmpty ? [] : await chargeRates(tx, charged, nowMs);
  const running = buckets.filter(({ endMs }) => endMs === undefined || endMs > nowMs);
  const overdrawn = running.filter((bucket) => isOverdrawn(bucket, byId));
  const freed = running.filter((bucket) => leftOf(bucket, byId) > 0);
  await tx.notify(
    [...overdrawn.map(({ limitId }) => limitId), ...rates],
    freed.map(({ limitId }) => limitId),
  );
}

/**
 * From the buckets that the estimate was taken of. Two of one limit are two windows, between which it fell, or the share
 * of a node and what is common to all.
 */
function drawWhereTaken({ held, meter, units }: Change, limits: ReadonlyMap<string, Limit>, to: Tally): void {
  const taken = held.draws.filter(({ limitId }) => limits.get(limitIdOf(limitId))?.meter === meter);
  for (const draws of Map.groupBy(taken, ({ limitId }) => limitIdOf(limitId)).values()) {
    let left = units;
    for (const { bucketId, units: most } of draws.toReversed()) {
      const part = left > 0 ? left : Math.max(left, -most);
      to.add(bucketId, part);
      left -= part;
    }
  }
}

async function drawWhereCounted(
  tx: ReservationTx,
  unestimated: readonly { readonly limit: Limit; readonly change: Change }[],
  to: Tally,
): Promise<void> {
  for (const [minute, of] of Map.groupBy(unestimated, ({ change }) => change.held.minute)) {
    const quotas = new Map(
      of
        .map(({ limit }) => limit)
        .filter(isQuota)
        .map((limit) => [limit.id, limit]),
    );
    const atMs = minute * 60_000;
    const windowOf = (limitId: string) => windowAt(quotas.get(limitId)!.allowance, atMs);
    const buckets = await tx.quotasAt([...quotas.keys()], atMs, windowOf);
    for (const { limit, change } of of) {
      const bucketId = buckets.get(limit.id);
      if (bucketId !== undefined) to.add(bucketId, change.units);
    }
  }
}

/** Answers which have less than nothing now, and are lent. */
async function chargeRates(tx: ReservationTx, charged: Tally, nowMs: number): Promise<string[]> {
  const states = new Map<string, RateState>();
  for (const { limit, state } of await tx.lockRates([...charged.units.keys()])) {
    const units = Math.min(charged.units.get(limit.id)!, Number.MAX_SAFE_INTEGER);
    const next = rate.charge(state, limit.allowance, { units, spentAtMs: nowMs }, nowMs);
    // As low as can be counted, and no error: that would hold up all that is due, for ever.
    states.set(limit.id, { ...next, available: Math.max(next.available, Number.MIN_SAFE_INTEGER) });
  }
  await tx.writeRates(states);
  return [...states].filter(([, state]) => state.available < 0 && state.leased > 0).map(([id]) => id);
}

function isEstimated({ held, meter }: Change): boolean {
  return (held.estimate.get(meter) ?? 0) > 0;
}

/** Units by what they are of. */
class Tally {
  readonly #units = new Map<string, number>();

  add(id: string, units: number): void {
    if (units !== 0) this.#units.set(id, (this.#units.get(id) ?? 0) + units);
  }

  get isEmpty(): boolean {
    return this.#units.size === 0;
  }

  get units(): ReadonlyMap<string, number> {
    return this.#units;
  }
}
