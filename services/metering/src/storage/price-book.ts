import type { Price } from "@gatehouse/buckets";
import type { ChangeLog } from "@gatehouse/changefeed";
import type { PriceBook, PriceBookStore } from "../domain/price-book.ts";

/** Clocks of replicas differ by less: until then one may still charge what the price before says. */
const SUPERSEDED_KEPT = "1 hour";

/** A row of price. */
export interface PriceRow {
  readonly id: string;
  readonly meter: string;
  readonly resource: string;
  readonly plan: string;
  readonly account_type: string;
  readonly currency: string;
  readonly micros: string;
  readonly per_units: string;
  readonly effective_at: Date;
}

export class PostgresPriceBook implements PriceBookStore {
  readonly #log: ChangeLog;

  constructor(log: ChangeLog) {
    this.#log = log;
  }

  readBook(): Promise<PriceBook> {
    return this.#log.snapshot(async (manager, position) => {
      const rows = await manager.query<PriceRow[]>(
        `SELECT p.* FROM price p WHERE NOT EXISTS (
           SELECT FROM price n
           WHERE (n.meter, n.resource, n.plan, n.account_type) = (p.meter, p.resource, p.plan, p.account_type)
             AND (n.effective_at, n.id) > (p.effective_at, p.id)
             AND n.effective_at <= now() - interval '${SUPERSEDED_KEPT}')
         ORDER BY p.id`,
      );
      return { prices: rows.map(priceOf), position };
    });
  }
}

export function priceOf(row: PriceRow): Price {
  return {
    id: row.id,
    meter: row.meter,
    resource: row.resource,
    plan: row.plan,
    accountType: row.account_type,
    currency: row.currency,
    micros: Number(row.micros),
    perUnits: Number(row.per_units),
    effectiveAtMs: row.effective_at.getTime(),
  };
}
