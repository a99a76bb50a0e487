import { drawEvents } from "./draw-events.ts";
import type { Proof } from "./mirror.ts";
import type { PartCarries, Reckoning } from "./part-carries.ts";
import { eventPostings, type PricedEvent, priceEvents } from "./price-events.ts";
import type { ReportStore, ReportTx } from "./report-store.ts";
import { CHARGED, type MinuteUsage } from "./usage.ts";
import {
  type EventDraft,
  type EventFault,
  type EventWorld,
  eventOf,
  faultOf,
  namesIn,
  type UsageEvent,
} from "./usage-event.ts";

export interface ReportDependencies {
  readonly store: ReportStore;
  readonly identity: Proof;
  /** How long ago an event may be: as long as usage by minute is kept. */
  readonly keptMs: number;
  readonly carries: PartCarries;
  readonly onReported?: (report: Report) => void;
}

/** What became of reported events. */
export interface Report {
  readonly booked: number;
  readonly duplicates: number;
  /** By place. */
  readonly faults: ReadonlyMap<number, EventFault>;
}

/**
 * Books events, each once. The row that says that an event was booked, its usage and its draws are of one transaction,
 * so what was not answered can be reported again. Events of one call that are one event count once, too.
 */
export async function reportUsage(
  dependencies: ReportDependencies,
  source: string,
  drafts: readonly EventDraft[],
): Promise<Report> {
  const report = await bookReport(dependencies, source, drafts);
  dependencies.onReported?.(report);
  return report;
}

async function bookReport(
  { store, identity, keptMs, carries }: ReportDependencies,
  source: string,
  drafts: readonly EventDraft[],
): Promise<Report> {
  const faults = new Map<number, EventFault>();
  const good: number[] = [];
  for (const [i, draft] of drafts.entries()) {
    const fault = faultOf(draft);
    if (fault === undefined) good.push(i);
    else faults.set(i, fault);
  }
  const events = new Map<number, UsageEvent>();
  const read = (places: readonly number[], world: EventWorld) => {
    for (const i of places) {
      const event = eventOf(drafts[i]!, world, keptMs);
      if ("reason" in event) faults.set(i, event);
      else {
        events.set(i, event);
        faults.delete(i);
      }
    }
  };
  const lookUp = (places: readonly number[]) => store.lookUp(namesIn(places.map((i) => drafts[i]!)));
  if (good.length > 0) read(good, await lookUp(good));
  // What was made a moment ago is not "not there".
  const absent = good.filter((i) => faults.get(i)?.reason === "NOT_FOUND");
  if (absent.length > 0) {
    try {
      await identity.prove();
      read(absent, await lookUp(absent));
    } catch {
      for (const i of absent) faults.set(i, UNPROVEN);
    }
  }
  const { firsts, repeats } = told(events, faults);
  if (firsts.size === 0) return { booked: 0, duplicates: repeats, faults };
  const { booked, mismatches } = await carries.during((begin) =>
    store.transact((tx) => book(tx, source, firsts, begin())),
  );
  for (const i of mismatches) faults.set(i, MISMATCH);
  const before = firsts.size - booked - mismatches.length;
  return { booked, duplicates: repeats + before, faults };
}

const UNPROVEN: EventFault = {
  reason: "SOURCE_UNAVAILABLE",
  field: "",
  message: "could not be looked for in time; report it again",
};

const MISMATCH: EventFault = {
  reason: "IDEMPOTENCY_MISMATCH",
  field: "id",
  message: "another event was reported under this id",
};

/** The day that an event counts as the same on. */
export function dayOf({ atMs }: Pick<UsageEvent, "atMs">): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/** Each event of a call once; another one under its id is a fault. */
function told(events: ReadonlyMap<number, UsageEvent>, faults: Map<number, EventFault>) {
  const firsts = new Map<number, UsageEvent>();
  const byName = new Map<string, UsageEvent>();
  let repeats = 0;
  for (const [i, event] of [...events].sort(([a], [b]) => a - b)) {
    const name = `${dayOf(event)} ${event.id}`;
    const first = byName.get(name);
    if (first === undefined) {
      byName.set(name, event);
      firsts.set(i, event);
    } else if (first.content.equals(event.content)) repeats++;
    else faults.set(i, MISMATCH);
  }
  return { firsts, repeats };
}

async function book(
  tx: ReportTx,
  source: string,
  events: ReadonlyMap<number, UsageEvent>,
  reckoning: Reckoning,
) {
  const claims = [...events].map(([place, event]) => ({ place, event, day: dayOf(event) }));
  const taken = await tx.claim(source, claims);
  const mismatches = [...taken].flatMap(([place, content]) =>
    content.equals(events.get(place)!.content) ? [] : [place],
  );
  const fresh = claims.filter(({ place }) => !taken.has(place)).map(({ event }) => event);
  const used = fresh.filter(({ units }) => units > 0);
  if (used.length > 0) {
    await drawEvents(tx, used);
    const priced = await priceEvents(tx.pricing, used, reckoning);
    // No other report has this event among its fresh ones.
    const reference = `report ${source} ${dayOf(used[0]!)} ${used[0]!.id}`;
    await tx.pricing.post(await eventPostings(tx.pricing, reference, priced));
    await tx.bookUsage(priced.map(usageOf));
  }
  return { booked: fresh.length, mismatches };
}

function usageOf(event: PricedEvent): MinuteUsage {
  const { node, meter, units, atMs, resource, cost, currency } = event;
  const { keyId, accountId } = node;
  const minute = Math.floor(atMs / 60_000);
  const charged = { outcome: CHARGED, units: BigInt(units), cost: BigInt(cost), currency };
  return { minute, keyId, accountId, meter, resource, ...charged };
}
