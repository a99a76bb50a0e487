import type { TransferKind } from "./money.ts";

/** Time that a statement is of, whole quarters of an hour. */
export interface Period {
  /** Of a calendar month; undefined for a span. Months of one zone are one series of statements. */
  readonly timeZone: string | undefined;
  readonly startMs: number;
  readonly endMs: number;
}

/** What an account, or it and all below it, had and has in one currency. Micros. */
export interface StatedBalance {
  readonly currency: string;
  readonly opening: bigint;
  readonly closing: bigint;
  /** Signed: what came less what went. Together they lead from opening to closing. */
  readonly sums: Readonly<Partial<Record<TransferKind, bigint>>>;
}

/** What one account used of one meter, and what that cost. */
export interface UsageLine {
  readonly accountId: string;
  readonly meter: string;
  /** Empty for what was free. */
  readonly currency: string;
  readonly units: bigint;
  readonly cost: bigint;
}

/** Usage of an earlier period that came after its statement was given, less where it was taken back. */
export interface AdjustmentLine extends UsageLine {
  readonly startMs: number;
  readonly endMs: number;
}

export interface StatementBody {
  readonly balances: readonly StatedBalance[];
  readonly usage: readonly UsageLine[];
  readonly adjustments: readonly AdjustmentLine[];
}

/** A period whose statement was given. */
export interface StatedPeriod {
  readonly period: Period;
  /** What all statements that were given said of it: the usage in its own, and the adjustments in others. */
  readonly said: readonly UsageLine[];
}

/**
 * What has come of earlier periods since their statements were given and has not been stated yet: what each period's
 * usage is now, less what was said of it. So each unit is stated once, whenever it comes, and in whatever order
 * statements are given.
 */
export function adjustmentsOf(
  earlier: readonly StatedPeriod[],
  usageNow: ReadonlyMap<Period, readonly UsageLine[]>,
): AdjustmentLine[] {
  return earlier.flatMap(({ period, said }) => {
    const { startMs, endMs } = period;
    const late = new Map<string, UsageLine>();
    for (const line of usageNow.get(period) ?? []) add(late, line, 1n);
    for (const line of said) add(late, line, -1n);
    return [...late.values()]
      .filter(({ units, cost }) => units !== 0n || cost !== 0n)
      .map((line) => ({ ...line, startMs, endMs }));
  });
}

function add(lines: Map<string, UsageLine>, line: UsageLine, sign: bigint): void {
  const { accountId, meter, currency } = line;
  const name = `${accountId} ${meter} ${currency}`;
  const { units, cost } = lines.get(name) ?? { units: 0n, cost: 0n };
  lines.set(name, {
    accountId,
    meter,
    currency,
    units: units + sign * line.units,
    cost: cost + sign * line.cost,
  });
}
