/**
 * In which window of a quota an instant lies. The windows of one spec tile time: each instant is in exactly one.
 */

import { anchoredSteps, calendarDays, calendarSteps } from "./calendar.ts";

export type WindowKind = "MINUTE" | "HOUR" | "DAY" | "WEEK" | "MONTH" | "NEVER";

export interface WindowSpec {
  readonly window: WindowKind;
  /** IANA name; see {@link isTimeZone}. */
  readonly timeZone: string;
  /** If given, windows step from this instant instead of being aligned to the calendar. */
  readonly anchorMs?: number | undefined;
}

export interface Window {
  /** Inclusive, ms since the epoch. */
  readonly startMs: number;
  /** Exclusive, ms since the epoch; Infinity for NEVER. */
  readonly endMs: number;
}

const ALL_TIME: Window = { startMs: 0, endMs: Number.POSITIVE_INFINITY };

const STEP_MS = { MINUTE: 60_000, HOUR: 3_600_000 };

/** The longest name in the tz database has 32 characters; twice that leaves room and bounds the parser. */
const MAX_TIME_ZONE_LENGTH = 64;

/**
 * Specs whose last window is remembered. Deployments use a handful of zones, but every anchor is a spec of its
 * own; past this many the cache starts over, which costs some microseconds a spec.
 */
const MAX_CACHED_SPECS = 4096;

const lastWindows = new Map<string, Window>();

/**
 * The window that contains `atMs` (integer ms since the epoch).
 *
 * Aligned to the calendar of the zone, minutes and hours begin where the zone's clock shows zero and end early
 * where its offset changes within them; days begin at the first instant of the date (23 or 25 h long where the
 * clocks change), weeks on Monday, months on the 1st.
 *
 * Anchored, minutes and hours are exact steps of 60 s and 3600 s from the anchor; days, weeks and months begin
 * at the anchor's time of day in the zone, months on its day or else the month's last (31 Jan, 28 Feb, 31 Mar).
 *
 * NEVER is one window from 0 to Infinity. Throws RangeError for an unknown zone.
 */
export function windowAt(spec: WindowSpec, atMs: number): Window {
  if (spec.window === "NEVER") return ALL_TIME;
  const cacheKey = `${spec.window} ${spec.timeZone} ${spec.anchorMs ?? ""}`;
  const last = lastWindows.get(cacheKey);
  if (last !== undefined && last.startMs <= atMs && atMs < last.endMs) return last;
  const window = computeWindow(spec, atMs);
  if (lastWindows.size >= MAX_CACHED_SPECS) lastWindows.clear();
  lastWindows.set(cacheKey, window);
  return window;
}

/** Whether `text` names a time zone of the IANA database (a link such as `Asia/Calcutta` too, an offset not). */
export function isTimeZone(text: string): boolean {
  // Temporal would also read offsets (+05:30) and whole timestamps as zones.
  if (text.length > MAX_TIME_ZONE_LENGTH || !/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(text)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(text);
    return true;
  } catch {
    return false;
  }
}

function computeWindow({ window, timeZone, anchorMs }: WindowSpec, atMs: number): Window {
  switch (window) {
    case "MINUTE":
    case "HOUR":
      return anchorMs === undefined
        ? calendarSteps(STEP_MS[window], timeZone, atMs)
        : anchoredSteps(STEP_MS[window], anchorMs, atMs);
    case "DAY":
    case "WEEK":
    case "MONTH":
      return calendarDays(window, timeZone, anchorMs, atMs);
    case "NEVER":
      return ALL_TIME;
  }
}
