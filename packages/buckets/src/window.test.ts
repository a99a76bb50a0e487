import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTimeZone, type Window, type WindowKind, type WindowSpec, windowAt } from "./window.ts";

const HOUR_MS = 3_600_000;

/** Whole hours, 30 and 45 minutes, a half-hour clock change, clocks that change at midnight or cross a date. */
const ZONES = [
  "UTC",
  "America/Los_Angeles",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "America/Sao_Paulo",
  "America/St_Johns",
  "Pacific/Apia",
];

const TURNS = [
  "2011-12-30T10:00Z", // Apia leaves out 30 December
  "2010-11-07T02:31Z", // St John's goes back across midnight
  "2018-11-04T03:00Z", // São Paulo has no midnight
  "2025-03-09T10:00Z", // Los Angeles springs forward
  "2025-11-02T09:00Z", // Los Angeles falls back
  "2025-04-05T15:00Z", // Lord Howe goes back by half an hour
  "2025-10-04T15:30Z", // Lord Howe goes forward by half an hour
  "2024-02-29T12:00Z",
].map((text) => Date.parse(text));

const instants = fc.oneof(
  fc.integer({ min: Date.parse("1990-01-01"), max: Date.parse("2040-01-01") }),
  fc
    .tuple(fc.constantFrom(...TURNS), fc.constantFrom(2 * HOUR_MS, 30 * HOUR_MS))
    .chain(([turn, by]) => fc.integer({ min: turn - by, max: turn + by })),
);

const specs = fc.record({
  window: fc.constantFrom<WindowKind>("MINUTE", "HOUR", "DAY", "WEEK", "MONTH"),
  timeZone: fc.constantFrom(...ZONES),
  anchorMs: fc.option(instants, { nil: undefined }),
});

function starts(spec: WindowSpec, from: string, count: number): string[] {
  const found: string[] = [];
  let atMs = Date.parse(from);
  for (let i = 0; i < count; i += 1) {
    const { startMs, endMs } = windowAt(spec, atMs);
    found.push(
      Temporal.Instant.fromEpochMilliseconds(startMs)
        .toZonedDateTimeISO(spec.timeZone)
        .toPlainDateTime()
        .toString(),
    );
    atMs = endMs;
  }
  return found;
}

function hours({ startMs, endMs }: Window): number {
  return (endMs - startMs) / HOUR_MS;
}

describe("windows", () => {
  test("contain their instant and tile time, from both sides", () => {
    fc.assert(
      fc.property(specs, instants, (spec, atMs) => {
        const window = windowAt(spec, atMs);
        expect(window.startMs).toBeLessThanOrEqual(atMs);
        expect(window.endMs).toBeGreaterThan(atMs);
        expect(windowAt(spec, window.startMs)).toEqual(window);
        expect(windowAt(spec, window.endMs - 1)).toEqual(window);
        expect(windowAt(spec, window.endMs).startMs).toBe(window.endMs);
        expect(windowAt(spec, window.startMs - 1).endMs).toBe(window.startMs);
      }),
      { numRuns: 2000 },
    );
  });

  test("are as long as their name says, except around clock changes and month ends", () => {
    const longest = { MINUTE: 1 / 60, HOUR: 1, DAY: 48, WEEK: 8 * 24, MONTH: 32 * 24, NEVER: Infinity };
    fc.assert(
      fc.property(specs, instants, (spec, atMs) => {
        expect(hours(windowAt(spec, atMs))).toBeLessThanOrEqual(longest[spec.window] + 1e-9);
      }),
    );
  });

  test("aligned to the calendar begin at the first instant of a date, of a Monday, of a month", () => {
    const aligned = fc.record({
      window: fc.constantFrom<WindowKind>("DAY", "WEEK", "MONTH"),
      timeZone: fc.constantFrom(...ZONES),
    });
    fc.assert(
      fc.property(aligned, instants, (spec, atMs) => {
        const { startMs } = windowAt(spec, atMs);
        const start = Temporal.Instant.fromEpochMilliseconds(startMs).toZonedDateTimeISO(spec.timeZone);
        expect(start.startOfDay().epochMilliseconds).toBe(startMs);
        if (spec.window === "WEEK") expect(start.dayOfWeek).toBe(1);
        if (spec.window === "MONTH") expect(start.day).toBe(1);
      }),
    );
  });

  test("of a day have 23 or 25 hours when clocks change", () => {
    const day = { window: "DAY", timeZone: "America/Los_Angeles" } as const;
    expect(hours(windowAt(day, Date.parse("2025-03-09T12:00-07:00")))).toBe(23);
    expect(hours(windowAt(day, Date.parse("2025-03-10T12:00-07:00")))).toBe(24);
    expect(hours(windowAt(day, Date.parse("2025-11-02T12:00-08:00")))).toBe(25);
  });

  test("of a half-hour zone begin at its own hours and days", () => {
    const at = Date.parse("2025-06-01T00:10+05:30");
    const midnight = Date.parse("2025-06-01T00:00+05:30");
    for (const window of ["HOUR", "DAY", "MONTH"] as const) {
      expect(windowAt({ window, timeZone: "Asia/Kolkata" }, at).startMs).toBe(midnight);
    }
  });

  test("of an hour are cut where the clock moves by half of one", () => {
    const hour = { window: "HOUR", timeZone: "Australia/Lord_Howe" } as const;
    const back = Date.parse("2025-04-05T15:00Z");
    expect(windowAt(hour, back)).toEqual({ startMs: back, endMs: back + HOUR_MS / 2 });
    const forward = Date.parse("2025-10-04T15:30Z");
    expect(windowAt(hour, forward - 1).endMs).toBe(forward);
    expect(windowAt(hour, forward)).toEqual({ startMs: forward, endMs: forward + HOUR_MS / 2 });
  });

  test("of a minute after midnight are not lost where clocks then go back across it", () => {
    const timeZone = "America/St_Johns";
    const midnight = Date.parse("2010-11-07T00:00-02:30");
    const back = midnight + HOUR_MS / 60;
    expect(windowAt({ window: "HOUR", timeZone }, midnight)).toEqual({ startMs: midnight, endMs: back });
    expect(windowAt({ window: "HOUR", timeZone }, back).endMs).toBe(midnight + HOUR_MS);
    expect(windowAt({ window: "DAY", timeZone }, back)).toEqual({
      startMs: midnight,
      endMs: midnight + 25 * HOUR_MS,
    });
  });

  test("of a month anchored on the 31st end with the month and do not drift", () => {
    const anchorMs = Date.parse("2024-01-31T00:00Z");
    const month = { window: "MONTH", timeZone: "UTC", anchorMs } as const;
    expect(starts(month, "2023-10-31", 8)).toEqual(
      [
        "2023-10-31",
        "2023-11-30",
        "2023-12-31",
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
        "2024-05-31",
      ].map((date) => `${date}T00:00:00`),
    );
    expect(starts(month, "2025-02-28", 2)).toEqual(["2025-02-28T00:00:00", "2025-03-31T00:00:00"]);
  });

  test("anchored keep the anchor's time of day across a clock change", () => {
    const anchorMs = Date.parse("2025-03-01T09:30-08:00");
    const week = { window: "WEEK", timeZone: "America/Los_Angeles", anchorMs } as const;
    expect(starts(week, "2025-03-08T09:30-08:00", 2)).toEqual(["2025-03-08T09:30:00", "2025-03-15T09:30:00"]);
    expect(hours(windowAt(week, Date.parse("2025-03-09")))).toBe(7 * 24 - 1);
  });

  test("anchored of an hour are exact steps", () => {
    const anchorMs = Date.parse("2025-03-01T09:17Z");
    const hour = { window: "HOUR", timeZone: "America/Los_Angeles", anchorMs } as const;
    const startMs = Date.parse("2025-11-02T09:17Z");
    expect(windowAt(hour, startMs + 1)).toEqual({ startMs, endMs: startMs + HOUR_MS });
  });

  test("that never end are one", () => {
    expect(windowAt({ window: "NEVER", timeZone: "UTC" }, Date.now())).toEqual({
      startMs: 0,
      endMs: Infinity,
    });
  });

  test("of one spec are not taken for another's", () => {
    const atMs = Date.parse("2025-06-15T12:00Z");
    const day = (timeZone: string, anchorMs?: number) =>
      windowAt({ window: "DAY", timeZone, anchorMs }, atMs).startMs;
    expect(new Set([day("UTC"), day("Asia/Kolkata"), day("UTC", 1), day("UTC", 2), day("UTC")]).size).toBe(4);
  });
});

describe("a time zone", () => {
  test.each([
    "UTC",
    "Europe/Berlin",
    "Asia/Calcutta",
    "US/Pacific",
    "Etc/GMT+5",
    "America/Argentina/Buenos_Aires",
  ])("can be %s", (text) => expect(isTimeZone(text)).toBe(true));

  test.each(["", "+05:30", "Mars/Olympus", "2020-01-01T00:00Z[UTC]", "UTC ", `A${"a".repeat(10_000)}`])(
    "cannot be %s",
    (text) => expect(isTimeZone(text)).toBe(false),
  );

  test("that is unknown is refused by windowAt", () => {
    expect(() => windowAt({ window: "DAY", timeZone: "Mars/Olympus" }, 0)).toThrow(RangeError);
  });
});
