import { windowAt } from "@gatehouse/buckets";
import type { Violation } from "@gatehouse/service/failure";
import type { Granularity } from "./usage-query.ts";

export interface SpanDraft {
  readonly granularity: Granularity | "UNKNOWN" | undefined;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
}

/** Inclusive and exclusive, whole minutes. */
export interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

const MINUTE_MS = 60_000;
export const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 86_400_000;
/** The years that dates and zones are defined for. */
const MAX_TIME_MS = Date.UTC(2200, 0, 1);
/** Where rows grow with the time asked: minutes are kept for weeks, quarters for years. Days stay few for ever. */
const LONGEST_MS: Readonly<Partial<Record<string, number>>> = { MINUTE: 400 * DAY_MS, HOUR: 3660 * DAY_MS };

/**
 * The minutes that lie in the time asked, even in part: usage is known to the minute. Without a start, the last
 * 24 hours: of the day so far there is nothing to see just after midnight.
 */
export function readSpan(
  { granularity, startMs, endMs }: SpanDraft,
  timeZone: string,
  nowMs: number,
): { span: Span; violations: Violation[] } {
  const violations: Violation[] = [];
  const end = Math.ceil((endMs ?? nowMs + 1) / MINUTE_MS) * MINUTE_MS;
  if (!isTime(end)) violations.push({ field: "end", description: "must be between the years 1970 and 2200" });
  const start =
    startMs === undefined
      ? hourOf(isTime(end) ? end - DAY_MS : 0, timeZone)
      : Math.floor(startMs / MINUTE_MS) * MINUTE_MS;
  if (!isTime(start)) {
    violations.push({ field: "start", description: "must be between the years 1970 and 2200" });
  }
  const span = { startMs: start, endMs: end };
  if (violations.length > 0) return { span, violations };
  if ((startMs ?? start) >= (endMs ?? end)) {
    violations.push({ field: "start", description: "must be before end" });
  }
  const longestMs = LONGEST_MS[granularity ?? ""] ?? Number.POSITIVE_INFINITY;
  if (end - start > longestMs) {
    violations.push({ field: "end", description: `must be at most ${longestMs / DAY_MS} days after start` });
  }
  return { span, violations };
}

/** Is it known only by minute: by its granularity, or since it begins or ends within a quarter of an hour? */
export function readsMinutes({
  granularity,
  startMs,
  endMs,
}: Span & { readonly granularity: Granularity | undefined }): boolean {
  return granularity === "MINUTE" || startMs % QUARTER_MS !== 0 || endMs % QUARTER_MS !== 0;
}

/** The span with ends before `minutesFromMs`, a quarter's beginning, rounded outwards to the quarter. */
export function outwards({ startMs, endMs }: Span, minutesFromMs: number): Span {
  return {
    startMs: startMs < minutesFromMs ? Math.floor(startMs / QUARTER_MS) * QUARTER_MS : startMs,
    endMs: endMs < minutesFromMs ? Math.ceil(endMs / QUARTER_MS) * QUARTER_MS : endMs,
  };
}

/** How much of the time is summed at once; rows of one are never in two of these. */
const SLICES = { MINUTE: "DAY", HOUR: "DAY", DAY: "MONTH", MONTH: "MONTH" } as const;

/** A span in pieces that end where rows do, in order. */
export function* slicesOf({
  granularity,
  timeZone,
  startMs,
  endMs,
}: Span & { readonly granularity: Granularity | undefined; readonly timeZone: string }): Generator<Span> {
  if (granularity === undefined) {
    yield { startMs, endMs };
    return;
  }
  for (let atMs = startMs; atMs < endMs; ) {
    const window = windowAt({ window: SLICES[granularity], timeZone }, atMs);
    const nextMs = Math.min(window.endMs, endMs);
    yield { startMs: atMs, endMs: nextMs };
    atMs = nextMs;
  }
}

function hourOf(ms: number, timeZone: string): number {
  return Math.max(0, windowAt({ window: "HOUR", timeZone }, Math.max(0, ms)).startMs);
}

/** Is it a time of those years? Not so for what is no number. */
export function isTime(ms: number): boolean {
  return Number.isInteger(ms) && ms >= 0 && ms <= MAX_TIME_MS;
}
