/** Where windows begin and end in a time zone, on Temporal. */

import type { Window } from "./window.ts";

/** Steps of `stepMs` from the anchor, in elapsed time: no zone changes them. */
export function anchoredSteps(stepMs: number, anchorMs: number, atMs: number): Window {
  const startMs = anchorMs + Math.floor((atMs - anchorMs) / stepMs) * stepMs;
  return { startMs, endMs: startMs + stepMs };
}

/** Steps of `stepMs` (at most an hour) on the zone's clock, cut where its offset changes within one. */
export function calendarSteps(stepMs: number, timeZone: string, atMs: number): Window {
  const at = zoned(atMs, timeZone);
  const offsetMs = at.offsetNanoseconds / 1e6;
  const startMs = Math.floor((atMs + offsetMs) / stepMs) * stepMs - offsetMs;
  const endMs = startMs + stepMs;
  const start = zoned(startMs, timeZone);
  return {
    // Lord Howe's clocks move by half an hour: on a plain grid the hours before and after would overlap.
    startMs: start.offsetNanoseconds === at.offsetNanoseconds ? startMs : nextTransitionMs(start),
    endMs: Math.min(endMs, nextTransitionMs(at)),
  };
}

/** Days, weeks or months: from the anchor at its time of day, or from the first instant of a date. */
export function calendarDays(
  unit: "DAY" | "WEEK" | "MONTH",
  timeZone: string,
  anchorMs: number | undefined,
  atMs: number,
): Window {
  const anchor = anchorMs === undefined ? undefined : zoned(anchorMs, timeZone).toPlainDateTime();
  const origin = anchor?.toPlainDate() ?? CALENDAR_ORIGIN[unit];
  const time = anchor?.toPlainTime();
  const boundaryMs = (index: number) => {
    const date = origin.add(stepped(unit, index));
    // Without a time this is the first instant of the date, which is not always midnight.
    const start =
      time === undefined
        ? date.toZonedDateTime(timeZone)
        : date.toZonedDateTime({ timeZone, plainTime: time });
    return start.epochMilliseconds;
  };

  // The date alone does not decide: the anchor's time of day may not have come yet, and where clocks go back
  // across midnight a date's first instant is followed by a piece of the date before. Boundaries never
  // decrease, so walking to the right one is safe; it takes a step or two.
  let index = indexOf(unit, origin, zoned(atMs, timeZone).toPlainDate());
  while (boundaryMs(index) > atMs) index -= 1;
  while (boundaryMs(index + 1) <= atMs) index += 1;
  return { startMs: boundaryMs(index), endMs: boundaryMs(index + 1) };
}

/** Any date that begins a window of the calendar; 5 January 1970 was a Monday. */
const CALENDAR_ORIGIN = {
  DAY: new Temporal.PlainDate(1970, 1, 1),
  WEEK: new Temporal.PlainDate(1970, 1, 5),
  MONTH: new Temporal.PlainDate(1970, 1, 1),
};

/** Always counted from the origin, so that a month clamped to its end does not clamp the next. */
function stepped(unit: "DAY" | "WEEK" | "MONTH", index: number): Temporal.DurationLike {
  if (unit === "MONTH") return { months: index };
  return { days: unit === "WEEK" ? index * 7 : index };
}

function indexOf(
  unit: "DAY" | "WEEK" | "MONTH",
  origin: Temporal.PlainDate,
  date: Temporal.PlainDate,
): number {
  if (unit === "MONTH") return (date.year - origin.year) * 12 + date.month - origin.month;
  const days = origin.until(date, { largestUnit: "days" }).days;
  return unit === "WEEK" ? Math.floor(days / 7) : days;
}

function zoned(atMs: number, timeZone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone);
}

function nextTransitionMs(after: Temporal.ZonedDateTime): number {
  return after.getTimeZoneTransition("next")?.epochMilliseconds ?? Number.POSITIVE_INFINITY;
}
