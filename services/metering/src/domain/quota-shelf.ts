import { quota } from "@gatehouse/buckets";
import type { HeldUnits, QuotaBucketRow } from "./lease.ts";
import type { QuotaAllowance } from "./limit.ts";

/** A quota's bucket of the running window within one transaction. */
export class QuotaShelf {
  readonly allowance: QuotaAllowance;
  readonly limitId: string;
  readonly bucketId: string;
  readonly endMs: number | undefined;
  /** Unreported units by holder. */
  readonly held: Map<string, number>;
  readonly #nowMs: number;
  #row: QuotaBucketRow;
  touched = false;

  constructor(
    allowance: QuotaAllowance,
    row: QuotaBucketRow,
    held: readonly HeldUnits[],
    forfeited: number,
    nowMs: number,
  ) {
    this.allowance = allowance;
    this.limitId = row.limitId;
    this.bucketId = row.id;
    this.endMs = row.endMs;
    this.#nowMs = nowMs;
    this.held = new Map(held.map(({ holder, units }) => [holder, units]));
    this.#row = { ...row, spent: row.spent + forfeited, leased: row.leased - forfeited };
    this.touched = forfeited > 0;
  }

  get row(): QuotaBucketRow {
    return this.#row;
  }

  get leased(): number {
    return this.#row.leased;
  }

  get available(): number {
    const { spent, leased } = this.#row;
    return quota.available({ units: this.allowance.units, spent, leased });
  }

  /** Lends `units`, even more than there are: a limit that only warns gives what is asked. */
  take(units: number): void {
    this.touched = true;
    this.#row = { ...this.#row, leased: this.#row.leased + units };
  }

  retryAfterMs(_need: number): number | undefined {
    return this.endMs === undefined ? undefined : Math.max(0, this.endMs - this.#nowMs);
  }
}
