import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Statement, StatementUsage } from "@gatehouse/proto/metering";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { useSystem } from "../system/use-system.ts";
import type { HandCall } from "./by-hand.ts";
import { DEPARTMENTS, type Department, isShort, PricedMonth, SHARING } from "./priced-month.ts";
import { costOf, pricedTraces, TRACES, total } from "./priced-traces.ts";

/**
 * Both traces through real processes, by departments of very different sizes. What statements say is held to the files,
 * which are read in another way than the replay reads them, less the calls that it was told were refused.
 */
const directory = mkdtempSync(join(tmpdir(), "gatehouse-statements-"));
const clock = join(directory, "clock");
writeFileSync(clock, "0");
const system = useSystem({
  replicas: [{}],
  metering: {
    main: join(import.meta.dirname, "../faults/ahead-metering.ts"),
    environment: { CLOCK_AHEAD_IN: clock },
  },
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const { timeZone, month } = monthNow();
let months: readonly PricedMonth[];
/** By trace, of the organization and then of each department: of the month, and of the one after. */
let given: readonly (readonly Statement[])[];
let afterLate: readonly (readonly Statement[])[];
let next: readonly (readonly Statement[])[];

/** In a zone in which it does not end within the hour. */
function monthNow() {
  for (const timeZone of ["Asia/Kolkata", "UTC"]) {
    const now = Temporal.Now.zonedDateTimeISO(timeZone);
    if (now.add({ hours: 1 }).month === now.month)
      return { timeZone, month: now.toPlainDate().toPlainYearMonth() };
  }
  throw new Error("the month ends in both zones");
}

beforeAll(async () => {
  const each = (work: (month: PricedMonth) => Promise<unknown>) => Promise.all(months.map(work));
  const stated = (of: Temporal.PlainYearMonth) =>
    Promise.all(months.map((month) => month.statements({ period: of.toString(), timeZone })));
  months = await Promise.all(
    pricedTraces.map((trace) => PricedMonth.read({ system: system(), trace, directory, timeZone })),
  );
  await each((month) => month.send(0));
  for (const month of months) await month.price();
  await each((month) => month.fill());
  await each((month) => month.send(1));
  await each((month) => month.refill());
  await each((month) => month.send(2));
  // What it holds of wallets goes back.
  await system().replicas[0]!.process.stop();
  const nextMonth = month.add({ months: 1 });
  const { epochMilliseconds } = nextMonth
    .toPlainDate({ day: 1 })
    .toZonedDateTime(timeZone)
    .add({ minutes: 2 });
  writeFileSync(clock, String(epochMilliseconds - Date.now()));
  given = await stated(month);
  await each(async (month) => {
    const { events, booked } = await month.reportLate();
    expect(booked).toBe(events);
  });
  afterLate = await stated(month);
  next = await stated(nextMonth);
}, 180_000);

describe.each(pricedTraces.map(({ organization }, i) => [organization, i] as const))("%s", (name, i) => {
  const both = (statements: readonly Statement[]) => {
    const [whole, ...parts] = statements;
    return { whole: whole!, parts };
  };

  it("was answered as limits and wallets allow, and booked as it was answered", () => {
    const { trace, calls, results, departments } = months[i]!;
    if (TRACES !== undefined)
      expect(trace.meters.map((_, meter) => total(calls, meter))).toEqual(trace.totals);
    expect(results.flatMap(({ differences, faults }) => [...differences, ...faults])).toEqual([]);
    const refusals = results.flatMap(({ tally }) => [...tally.refusals.values()]);
    const refusedFor = (code: string) =>
      new Set(refusals.flatMap((each) => (each.code === code ? [...each.accounts] : [])));
    const short = departments.filter((_, place) => isShort(place)).map(({ id }) => id);
    expect([...refusedFor("CREDIT_EXHAUSTED")].sort()).toEqual(short.sort());
    expect(refusedFor("QUOTA_EXCEEDED").size).toBeGreaterThan(0);
    const refused = ({ id }: Department) =>
      results.reduce((sum, { tally }) => sum + (tally.accounts.get(id)?.refused[0] ?? 0n), 0n);
    measured(`${name} by ${DEPARTMENTS} departments`, {
      calls: departments.map(({ slug }) => calls.filter((call) => call.slug === slug).length).join(" "),
      refused: departments.map(refused).join(" "),
    });
  });

  it("is stated to the unit and the micro: departments add up to the organization, and that to the trace", () => {
    const { trace, calls, results, departments } = months[i]!;
    const { whole, parts } = both(given[i]!);
    for (const [place, department] of departments.entries()) {
      expect(shown(parts[place]!.usage)).toEqual(shown(expectedUsage(months[i]!, department)));
    }
    expect(shown(whole.usage)).toEqual(shown(parts.flatMap(({ usage }) => usage)));
    const late = next[i]![0]!.adjustments.map(({ usage }) => usage!);
    for (const [place, meter] of trace.meters.entries()) {
      const lines = [...whole.usage, ...late].filter((line) => line.meter === meter);
      const stated = lines.reduce((sum, { units }) => sum + units, 0n);
      const refused = results.reduce((sum, { tally }) => sum + tally.total("refused")[place]!, 0n);
      expect(stated + refused, meter).toBe(total(calls, place));
    }
  });

  it("is paid from the wallets that transfers filled, or the organization's, and adds up there too", async () => {
    const { trace, departments, filled, paid, organization } = months[i]!;
    const { whole, parts } = both(given[i]!);
    const { currency } = trace;
    const nothing = { opening: 0n, refunds: 0n, adjustments: 0n };
    const cost = costsOf(whole.usage);
    expect(whole.balances).toMatchObject([
      { ...nothing, currency, topUps: paid, transfers: 0n, usage: -cost, closing: paid - cost },
    ]);
    for (const [place, { id }] of departments.entries()) {
      if (place === SHARING) continue;
      const [got, cost] = [filled.get(id)!, costsOf(parts[place]!.usage)];
      const own = { ...nothing, currency, topUps: 0n, transfers: got, usage: -cost, closing: got - cost };
      expect(parts[place]!.balances).toMatchObject([own]);
      if (!isShort(place)) continue;
      // More than it got at first; and what is left of both does not buy the largest of its calls.
      expect(cost).toBeGreaterThan((got * 2n) / 3n);
      expect(got - cost).toBeLessThan(mostExpensive(months[i]!, departments[place]!));
    }
    expect(parts[SHARING]!.balances).toEqual([]);
    const handedOn = [...filled.values()].reduce((sum, amount) => sum + amount, 0n);
    const asked = { account: organization, currency, at: whole.end! };
    const { balance } = await system().root.credits.getBalance(asked, timely);
    expect(balance!.amount).toBe(paid - handedOn - costsOf(parts[SHARING]!.usage));
  });

  it("stays as it was stated, and what came late is stated once, in the month after", async () => {
    const { departments, organization, paid } = months[i]!;
    expect(given[i]!.every(({ final }) => final)).toBe(true);
    expect(afterLate[i]).toEqual(given[i]);
    const { whole, parts } = both(next[i]!);
    const adjusted = ({ adjustments }: Statement) => shown(adjustments.map(({ usage }) => usage!));
    const late = departments.map((department) => expectedLate(months[i]!, department));
    for (const [place, part] of parts.entries()) expect(adjusted(part)).toEqual(shown(late[place]!));
    expect(adjusted(whole)).toEqual(shown(late.flat()));
    expect(whole).toMatchObject({ final: false, usage: [] });
    const opening = paid - costsOf(given[i]![0]!.usage);
    const usage = -costsOf(late.flat());
    expect(whole.balances).toMatchObject([{ opening, usage, closing: opening + usage }]);
    expect(await months[i]!.posted()).toBe(paid - opening - usage);
    // A span of both months says all at once.
    const span = { account: organization, start: given[i]![0]!.start!, end: whole.end! };
    const { usage: used, adjustments } = await months[i]!.statement(span);
    expect([costsOf(used), adjustments]).toEqual([paid - opening - usage, []]);
    expect(timestampMs(whole.start!)).toBe(timestampMs(given[i]![0]!.end!));
  });
});

type Line = Pick<StatementUsage, "accountId" | "meter" | "currency" | "units" | "cost">;

/** Of a department's calls those that were not refused: first the free ones, then those with prices. */
function expectedUsage({ trace, sent, results }: PricedMonth, { slug, id }: Department): Line[] {
  return trace.meters.flatMap((meter, place) => {
    const [free, ...priced] = sent.map((calls, part) => {
      const refused = results[part]!.tally.accounts.get(id)?.refused[place] ?? 0n;
      return total(ofDepartment(calls, slug), place) - refused;
    });
    const charged = priced.reduce((sum, units) => sum + units, 0n);
    const line = { accountId: id, meter, currency: "", cost: 0n };
    const isFree = trace.prices[meter] === undefined;
    const lines = isFree
      ? [{ ...line, units: free! + charged }]
      : [
          { ...line, units: free! },
          { ...line, units: charged, currency: trace.currency, cost: costOf(trace, meter, charged) },
        ];
    return lines.filter(({ units }) => units > 0n);
  });
}

function expectedLate({ trace, late }: PricedMonth, { slug, id }: Department): Line[] {
  const lines = trace.meters.map((meter, place) => {
    const units = total(ofDepartment(late, slug), place);
    const currency = trace.prices[meter] === undefined ? "" : trace.currency;
    return { accountId: id, meter, currency, units, cost: costOf(trace, meter, units) };
  });
  return lines.filter(({ units }) => units > 0n);
}

/** Rounded up. */
function mostExpensive({ trace, sent }: PricedMonth, { slug }: Department): bigint {
  const ofCall = ({ units }: HandCall) =>
    trace.meters.reduce((sum, meter, place) => sum + costOf(trace, meter, units[place]!) + 1n, 0n);
  return ofDepartment(sent.flat(), slug)
    .map(ofCall)
    .reduce((most, cost) => (cost > most ? cost : most), 0n);
}

function ofDepartment(calls: readonly HandCall[], slug: string): HandCall[] {
  return calls.filter((call) => call.slug === slug);
}

function costsOf(lines: readonly Line[]): bigint {
  return lines.reduce((sum, { cost }) => sum + cost, 0n);
}

/** Lines of usage as text, in one order. */
function shown(lines: readonly Line[]): string[] {
  return lines
    .map(
      ({ accountId, meter, units, cost, currency }) =>
        `${accountId} ${meter} ${units} for ${cost} ${currency}`,
    )
    .sort();
}
