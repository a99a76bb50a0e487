import { drawEvents } from "./draw-events.ts";
import type { Reckoning } from "./part-carries.ts";
import { eventPostings, type PricedEvent, priceEvents } from "./price-events.ts";
import type { Claim, ReportTx } from "./report-store.ts";
import { CHARGED, type MinuteUsage } from "./usage.ts";
import type { UsageEvent } from "./usage-event.ts";

/** The events of one call that can be booked, by place. */
export interface ReportedEvents {
  readonly source: string;
  readonly events: ReadonlyMap<number, UsageEvent>;
}

/** What became of them. */
export interface BookedEvents {
  readonly booked: number;
  readonly duplicates: number;
  /** Places of those under whose ids there are others. */
  readonly mismatches: readonly number[];
}

/**
 * Books what several calls report, each event once: by source, day and id, whether it comes twice in a call or in two of
 * them, or was booked before. The row that says so, its usage and its draws are of one transaction.
 */
export async function bookEvents(
  tx: ReportTx,
  calls: readonly ReportedEvents[],
  reckoning: Reckoning,
): Promise<readonly BookedEvents[]> {
  const claims = new Map<string, Claim>();
  const told = calls.map(({ source, events }) =>
    [...events].map(([place, event]) => ({ place, event, claim: claimOf(claims, source, event) })),
  );
  const taken = await tx.claim([...claims.values()]);
  const fresh = [...claims.values()].filter((claim) => !taken.has(claim));
  await bookUsed(
    tx,
    fresh.filter(({ event }) => event.units > 0),
    reckoning,
  );
  return told.map((events) => {
    const others = events.filter(({ event, claim }) => {
      return !event.content.equals(taken.get(claim) ?? claim.event.content);
    });
    const booked = events.filter(({ event, claim }) => claim.event === event && !taken.has(claim)).length;
    const duplicates = events.length - others.length - booked;
    return { booked, duplicates, mismatches: others.map(({ place }) => place) };
  });
}

/** The first event of its name is the one that is claimed. */
function claimOf(claims: Map<string, Claim>, source: string, event: UsageEvent): Claim {
  const day = Math.floor(event.atMs / DAY_MS);
  // A source has no spaces.
  const name = `${source} ${day} ${event.id}`;
  const first = claims.get(name);
  if (first !== undefined) return first;
  const claim = { source, day, event };
  claims.set(name, claim);
  return claim;
}

const DAY_MS = 86_400_000;

async function bookUsed(tx: ReportTx, used: readonly Claim[], reckoning: Reckoning): Promise<void> {
  const [first] = used;
  if (first === undefined) return;
  const events = used.map(({ event }) => event);
  await drawEvents(tx, events);
  const priced = await priceEvents(tx.pricing, events, reckoning);
  // No other transaction has this event among its fresh ones.
  const day = new Date(first.day * DAY_MS).toISOString().slice(0, 10);
  const reference = `report ${first.source} ${day} ${first.event.id}`;
  await tx.pricing.post(await eventPostings(tx.pricing, reference, priced));
  await tx.bookUsage(usageOf(priced));
}

/** Added up by minute and series: of a thousand events many are of one. */
function usageOf(events: readonly PricedEvent[]): MinuteUsage[] {
  const sums = new Map<string, MinuteUsage>();
  for (const { node, meter, resource, atMs, currency, ...event } of events) {
    const { keyId, accountId } = node;
    const minute = Math.floor(atMs / 60_000);
    // The resource is the only free text, hence last.
    const name = `${minute} ${keyId} ${accountId} ${meter} ${currency} ${resource}`;
    const before = sums.get(name);
    const units = (before?.units ?? 0n) + BigInt(event.units);
    const cost = (before?.cost ?? 0n) + BigInt(event.cost);
    sums.set(name, { minute, keyId, accountId, meter, resource, outcome: CHARGED, units, cost, currency });
  }
  return [...sums.values()];
}
