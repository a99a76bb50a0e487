import type { Assigner, Caller } from "./assign.ts";
import type { Trace } from "./open-trace.ts";
import { isMalformed } from "./trace.ts";

/** A line that is no call, for the report. */
export interface MalformedLine {
  readonly number: number;
  readonly problem: string;
}

/** What is in a trace. */
export interface Survey {
  /** Lines that should be calls, those included that are none. */
  readonly lines: number;
  readonly calls: number;
  /** Units by meter, `requests` included. */
  readonly units: ReadonlyMap<string, bigint>;
  /** Whoever called, by slug, in the order of the first call. */
  readonly callers: ReadonlyMap<string, Caller>;
  readonly malformed: number;
  /** The first {@link MALFORMED_SHOWN} of them. */
  readonly malformedLines: readonly MalformedLine[];
  /** Calls whose line is damaged behind all that is read of it. */
  readonly damaged: number;
  /** Calls that are earlier than the one before them. */
  readonly stepsBack: number;
  /** From the earliest call to the latest. */
  readonly spanMs: number;
}

export const MALFORMED_SHOWN = 20;

/**
 * Reads a trace once before it is sent, so that who calls is known and can be created: a subaccount that is made
 * in the middle would be measured as if verifying were slow. Keeps callers in memory, and no lines.
 */
export async function survey(trace: Trace, { assign }: Assigner): Promise<Survey> {
  const meters = ["requests", ...trace.format.meters];
  const totals = meters.map(() => 0n);
  const callers = new Map<string, Caller>();
  const malformedLines: MalformedLine[] = [];
  const count = { lines: 0, calls: 0, malformed: 0, damaged: 0, stepsBack: 0 };
  let [earliestMs, latestMs, lastMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];

  for await (const { number, text, parsed } of trace.read()) {
    count.lines++;
    if (isMalformed(parsed)) {
      count.malformed++;
      if (malformedLines.length < MALFORMED_SHOWN) malformedLines.push({ number, problem: parsed.problem });
      continue;
    }
    if (count.calls > 0 && parsed.timeMs < lastMs) count.stepsBack++;
    if (parsed.isDamaged) count.damaged++;
    count.calls++;
    lastMs = parsed.timeMs;
    earliestMs = Math.min(earliestMs, lastMs);
    latestMs = Math.max(latestMs, lastMs);
    for (const [index, units] of [1n, ...parsed.units].entries()) totals[index]! += units;
    const caller = assign(parsed, text);
    if (!callers.has(caller.slug)) callers.set(caller.slug, caller);
  }
  const units = new Map(meters.map((meter, index) => [meter, totals[index]!]));
  const spanMs = count.calls === 0 ? 0 : latestMs - earliestMs;
  return { ...count, units, callers, malformedLines, spanMs };
}
