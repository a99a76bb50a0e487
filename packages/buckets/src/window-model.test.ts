import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type WindowKind, windowAt } from "./window.ts";

/**
 * Windows against a model that knows no calendar but the clock on the wall: it asks `Intl`, which shares no code with
 * Temporal, what date and time it is, and looks where that changes, minute by minute.
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Whole, half and quarter hours; clocks that change by an hour and by half of one; none that change across midnight. */
const ZONES = [
  "UTC",
  "America/Los_Angeles",
  "Europe/Berlin",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
];

const TURNS = [
  "2025-03-09T10:00Z", // Los Angeles springs forward
  "2025-11-02T09:00Z", // Los Angeles falls back
  "2025-04-05T15:00Z", // Lord Howe goes back by half an hour
  "2025-10-04T15:30Z", // and forward
  "2025-09-27T14:00Z", // Chatham springs forward at 02:45
  "2025-03-30T01:00Z", // Berlin springs forward
  "2024-02-29T12:00Z",
  "2024-03-01T00:00Z",
  "2025-02-28T18:30Z", // midnight in Kolkata, a month's last day before
  "2025-03-31T18:15Z", // midnight in Kathmandu, and a month's end
  "2100-02-28T23:00Z", // no leap year
  "2024-12-31T23:00Z",
].map((text) => Date.parse(text));

const instants = fc.oneof(
  fc
    .tuple(fc.constantFrom(...TURNS), fc.constantFrom(2 * HOUR_MS, 40 * HOUR_MS))
    .chain(([turn, by]) => fc.integer({ min: turn - by, max: turn + by })),
  fc.integer({ min: Date.parse("2000-01-01"), max: Date.parse("2035-01-01") }),
);

/** What the clock on the wall shows, as if it were UTC. */
function wallMs(timeZone: string, atMs: number): number {
  const parts = clockOf(timeZone).formatToParts(atMs);
  const of = (type: string) => Number(parts.find((part) => part.type === type)!.value);
  const second = Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second"));
  return second + (((atMs % 1000) + 1000) % 1000);
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  const known = clocks.get(timeZone);
  if (known !== undefined) return known;
  const numeric = "numeric" as const;
  const fields = {
    year: numeric,
    month: numeric,
    day: numeric,
    hour: numeric,
    minute: numeric,
    second: numeric,
  };
  const clock = new Intl.DateTimeFormat("en-US", { timeZone, ...fields, hourCycle: "h23" });
  clocks.set(timeZone, clock);
  return clock;
}

const offsetMs = (timeZone: string, atMs: number) => wallMs(timeZone, atMs) - atMs;

/** What all instants of one window of the calendar have in common, and those right before and after do not. */
function labelOf(window: WindowKind, timeZone: string, atMs: number): string {
  const wall = wallMs(timeZone, atMs);
  const date = new Date(wall);
  switch (window) {
    case "HOUR":
      return `${Math.floor(wall / HOUR_MS)} ${wall - atMs}`;
    case "DAY":
      return `${Math.floor(wall / DAY_MS)}`;
    case "WEEK":
      return `${Math.floor((wall / DAY_MS + 3) / 7)}`;
    default:
      return `${date.getUTCFullYear()} ${date.getUTCMonth()}`;
  }
}

describe("a window of the calendar", () => {
  const short = fc.record({
    window: fc.constantFrom<WindowKind>("HOUR", "DAY"),
    timeZone: fc.constantFrom(...ZONES),
  });

  test("is all minutes around that the clock on the wall shows in the same hour or date", () => {
    fc.assert(
      fc.property(short, instants, ({ window, timeZone }, atMs) => {
        const label = labelOf(window, timeZone, atMs);
        let [startMs, endMs] = [
          Math.floor(atMs / MINUTE_MS) * MINUTE_MS,
          Math.floor(atMs / MINUTE_MS) * MINUTE_MS,
        ];
        while (labelOf(window, timeZone, startMs - 1) === label) startMs -= MINUTE_MS;
        while (labelOf(window, timeZone, endMs) === label) endMs += MINUTE_MS;
        expect(windowAt({ window, timeZone }, atMs)).toEqual({ startMs, endMs });
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  test("of a week or a month begins and ends where the clock on the wall does", () => {
    const long = fc.record({
      window: fc.constantFrom<WindowKind>("WEEK", "MONTH"),
      timeZone: fc.constantFrom(...ZONES),
    });
    fc.assert(
      fc.property(long, instants, ({ window, timeZone }, atMs) => {
        const { startMs, endMs } = windowAt({ window, timeZone }, atMs);
        const label = labelOf(window, timeZone, atMs);
        const inside = Array.from({ length: 20 }, (_, i) => startMs + ((endMs - 1 - startMs) * i) / 19);
        for (const each of inside) expect(labelOf(window, timeZone, Math.floor(each))).toBe(label);
        expect(labelOf(window, timeZone, startMs - 1)).not.toBe(label);
        expect(labelOf(window, timeZone, endMs)).not.toBe(label);
      }),
      { numRuns: 500 },
    );
  }, 60_000);
});

/** The wall time of the n-th window from an anchor: its time of day, on its day of the month or else the last. */
function wallOfStep(window: WindowKind, anchorWallMs: number, n: number): number {
  if (window !== "MONTH") return anchorWallMs + n * (window === "WEEK" ? 7 : 1) * DAY_MS;
  const anchor = new Date(anchorWallMs);
  const month = anchor.getUTCMonth() + n;
  const last = new Date(Date.UTC(anchor.getUTCFullYear(), month + 1, 0)).getUTCDate();
  const day = Math.min(anchor.getUTCDate(), last);
  return Date.UTC(anchor.getUTCFullYear(), month, day) + (anchorWallMs % DAY_MS);
}

/** When the wall shows a time: the first time if twice, and if never as much later as the clock was moved. */
function instantOf(timeZone: string, wall: number): number {
  const [before, after] = [wall - DAY_MS, wall + DAY_MS].map((ms) => offsetMs(timeZone, ms)) as [
    number,
    number,
  ];
  const shows = (offset: number) => offsetMs(timeZone, wall - offset) === offset;
  return shows(before) || !shows(after) ? wall - before : wall - after;
}

test("an anchored window begins at the anchor's time of day, on its day or the month's last", () => {
  const specs = fc.record({
    window: fc.constantFrom<WindowKind>("DAY", "WEEK", "MONTH"),
    timeZone: fc.constantFrom(...ZONES),
    anchorMs: instants,
  });
  fc.assert(
    fc.property(specs, instants, (spec, atMs) => {
      const anchorWallMs = wallMs(spec.timeZone, spec.anchorMs);
      const startOf = (n: number) => instantOf(spec.timeZone, wallOfStep(spec.window, anchorWallMs, n));
      const days = { DAY: 1, WEEK: 7, MONTH: 30.5 }[spec.window as "DAY"];
      let n = Math.floor((atMs - spec.anchorMs) / (days * DAY_MS));
      while (startOf(n) > atMs) n--;
      while (startOf(n + 1) <= atMs) n++;
      expect(windowAt(spec, atMs)).toEqual({ startMs: startOf(n), endMs: startOf(n + 1) });
    }),
    { numRuns: 1000 },
  );
}, 60_000);
