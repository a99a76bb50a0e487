import type { Proof } from "./mirror.ts";
import type { ReportRounds } from "./report-rounds.ts";
import type { ReportStore } from "./report-store.ts";
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
  readonly rounds: ReportRounds;
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
 * Books events, each once, all that are good in one transaction: what was not answered can be reported again. Events of
 * one call that are one event count once, too.
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
  { store, identity, keptMs, rounds }: ReportDependencies,
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
  if (events.size === 0) return { booked: 0, duplicates: 0, faults };
  // Those that were found later among the others: of two under one id the first is the one that is booked.
  const inOrder = new Map([...events].sort(([a], [b]) => a - b));
  const { booked, duplicates, mismatches } = await rounds.book({ source, events: inOrder });
  for (const i of mismatches) faults.set(i, MISMATCH);
  return { booked, duplicates, faults };
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
