import type { KeyView } from "@gatehouse/access";
import { windowAt } from "@gatehouse/buckets";
import { overloaded } from "@gatehouse/service/failure";
import { type CreditScope, creditScope } from "./credit-scope.ts";
import { Fields } from "./fields.ts";
import type { Mirror } from "./mirror.ts";
import {
  adjustmentsOf,
  type Period,
  type StatedBalance,
  type StatedPeriod,
  type StatementBody,
  type UsageLine,
} from "./statement.ts";
import { isTime, QUARTER_MS } from "./usage-span.ts";

export interface StatementDraft {
  readonly account: string;
  /** A month, `2026-01`; empty for a span. */
  readonly period: string;
  /** Of the period. Empty: UTC. */
  readonly timeZone: string;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
}

export interface Statement extends StatementBody {
  readonly accountId: string;
  readonly period: Period;
  /** It is what it will always be. */
  readonly isFinal: boolean;
}

export interface StatementTx {
  /** Of the database. */
  nowMs(): Promise<number>;
  /** The latest of the month's series that end at or before it begins, latest first. */
  earlier(scope: CreditScope, month: Period, count: number): Promise<readonly StatedPeriod[]>;
  given(scope: CreditScope, month: Period): Promise<StatementBody | undefined>;
  /** Of which there are statements that were given. */
  zones(scope: CreditScope): Promise<readonly string[]>;
  /** Usage before then may have been dropped, as far as what was read in this transaction goes. */
  usageKeptFromMs(): Promise<number>;
  balances(scope: CreditScope, period: Period): Promise<readonly StatedBalance[]>;
  /** By account, meter and currency, at most `count`. */
  usage(scope: CreditScope, period: Period, count: number): Promise<readonly UsageLine[]>;
  give(scope: CreditScope, month: Period, body: StatementBody): Promise<void>;
}

export interface StatementStore {
  /** Runs `work` in a transaction that has the account's statements to itself. It may run more than once. */
  transact<T>(scope: CreditScope, work: (tx: StatementTx) => Promise<T>): Promise<T>;
}

export interface StatementDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: StatementStore;
  readonly nowMs: () => number;
}

const MONTH = /^(19[7-9]\d|20\d\d|21\d\d)-(0[1-9]|1[0-2])$/;
const LONGEST_MS = 400 * 86_400_000;
/** Accounts times meters that one answer has room for. */
const MAX_LINES = 20_000;
/** Two years of months: later than that nothing comes, for minutes are kept for weeks. */
const MAX_EARLIER = 24;
/** Whose months are kept for an account: what is kept is kept for ever, and there are six hundred zones. */
const MAX_ZONES = 3;
/** No transaction is under way for longer. */
const SETTLING_MS = 60_000;

/**
 * What an account, and all below it, had, paid and used in a period. Of a month that is over by a minute it is final: kept as
 * it was first given. What comes for it afterwards is in the adjustments of the next one given of its series. A span is
 * what it is now: nothing of it is kept. Throws Failure INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED.
 */
export async function getStatement(
  { mirror, store, nowMs }: StatementDependencies,
  caller: KeyView,
  draft: StatementDraft,
): Promise<Statement> {
  const period = periodOf(draft, nowMs());
  const scope = await creditScope(mirror, caller, {
    account: draft.account,
    descendants: true,
    currency: "",
  });
  const stated = await store.transact(scope, (tx) =>
    period.timeZone === undefined ? spanIn(tx, scope, period) : monthIn(tx, scope, period),
  );
  return { accountId: scope.accountId, period, ...stated };
}

type Stated = StatementBody & Pick<Statement, "isFinal">;

async function spanIn(tx: StatementTx, scope: CreditScope, span: Period): Promise<Stated> {
  const balances = await tx.balances(scope, span);
  return { balances, usage: await usageIn(tx, scope, span), adjustments: [], isFinal: false };
}

async function monthIn(tx: StatementTx, scope: CreditScope, month: Period): Promise<Stated> {
  // By the one clock that all replicas have: one that is ahead would take a month for over that goes on.
  const isOver = month.endMs + SETTLING_MS <= (await tx.nowMs());
  const before = isOver ? await tx.given(scope, month) : undefined;
  if (before !== undefined) return { ...before, isFinal: true };
  const earlier = await tx.earlier(scope, month, MAX_EARLIER);
  const now = new Map<Period, readonly UsageLine[]>();
  for (const { period } of earlier) now.set(period, await usageIn(tx, scope, period));
  const balances = await tx.balances(scope, month);
  const usage = await usageIn(tx, scope, month);
  // Asked after usage was read: what was dropped before that is known of now.
  const keptFromMs = await tx.usageKeptFromMs();
  const whole = earlier.filter(({ period }) => period.startMs >= keptFromMs);
  const fresh = { balances, usage, adjustments: adjustmentsOf(whole, now) };
  const isFinal = isOver && month.startMs >= keptFromMs && isKept(await tx.zones(scope), month);
  if (isFinal) await tx.give(scope, month, fresh);
  return { ...fresh, isFinal };
}

function isKept(zones: readonly string[], { timeZone = "" }: Period): boolean {
  return zones.includes(timeZone) || zones.length < MAX_ZONES;
}

async function usageIn(tx: StatementTx, scope: CreditScope, period: Period): Promise<readonly UsageLine[]> {
  const lines = await tx.usage(scope, period, MAX_LINES + 1);
  if (lines.length <= MAX_LINES) return lines;
  throw overloaded(`the statement has more than ${MAX_LINES} lines: ask for those of accounts below`);
}

function periodOf(
  { account, period: month, timeZone, startMs, endMs }: StatementDraft,
  nowMs: number,
): Period {
  const fields = new Fields();
  fields.account("account", account, { isRequired: false });
  const isSpan = startMs !== undefined || endMs !== undefined;
  if (month === "" && !isSpan) fields.wrong("period", "a period, or start and end, are required");
  if (month !== "" && isSpan) fields.wrong("period", "is given, and so is a start or an end");
  if (month !== "" && !MONTH.test(month)) fields.wrong("period", "must be a month such as 2026-01");
  fields.timeZone("time_zone", timeZone);
  if (timeZone !== "" && isSpan) fields.wrong("time_zone", "is of a period");
  for (const [field, ms] of Object.entries({ start: startMs, end: endMs })) {
    if (!isSpan) break;
    if (ms === undefined || !isTime(ms) || ms % QUARTER_MS !== 0) {
      fields.wrong(field, "must be a whole quarter of an hour between the years 1970 and 2200");
    }
  }
  fields.check();
  const period = isSpan
    ? { timeZone: undefined, startMs: startMs!, endMs: endMs! }
    : monthOf(month, timeZone || "UTC");
  if (period.endMs <= period.startMs) fields.wrong("end", "must be after start");
  if (period.endMs - period.startMs > LONGEST_MS) fields.wrong("end", "must be at most 400 days after start");
  if (period.startMs > nowMs) fields.wrong(isSpan ? "start" : "period", "must have begun");
  fields.check();
  return period;
}

function monthOf(month: string, timeZone: string): Period {
  const [year, number] = month.split("-").map(Number) as [number, number];
  const { startMs, endMs } = windowAt({ window: "MONTH", timeZone }, Date.UTC(year, number - 1, 15));
  return { timeZone, startMs, endMs };
}
