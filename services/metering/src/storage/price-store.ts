import type { Price } from "@gatehouse/buckets";
import type { ChangeLog } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type { Actor } from "../domain/actor.ts";
import { PRICES_NODE } from "../domain/price-book.ts";
import type { PriceFilter, PriceStore, PriceTx } from "../domain/set-price.ts";
import { writeAudit } from "./audit.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { type PriceRow, priceOf } from "./price-book.ts";

export class PostgresPriceStore implements PriceStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#dataSource.manager, this.#offsetMs);
  }

  mutate(actor: Actor, work: (tx: PriceTx) => Promise<Price>): Promise<{ value: Price; freshness: string }> {
    return this.#log.commit(async (tx) => {
      await tx.gate({ changed: [PRICES_NODE] });
      tx.changed("prices", PRICES_NODE);
      const price = await work(new PostgresPriceTx(tx.manager, this.#offsetMs));
      const event = {
        actor,
        action: "gatehouse.credits.set-price" as const,
        targetId: price.id,
        concerns: "",
      };
      await writeAudit(tx.manager, [{ ...event, before: undefined, after: price }]);
      return price;
    });
  }

  async list({ meter, plan }: PriceFilter, beforeId: string, count: number): Promise<readonly Price[]> {
    const rows = await this.#dataSource.query<PriceRow[]>(
      `SELECT p.* FROM price p
       WHERE ($1::text IS NULL OR p.meter = $1) AND ($2::text IS NULL OR p.plan IN ('', $2))
         AND ($3 = '' OR p.id < $3) ORDER BY p.id DESC LIMIT $4`,
      [meter ?? null, plan ?? null, beforeId, count],
    );
    return rows.map(priceOf);
  }
}

class PostgresPriceTx implements PriceTx {
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(manager: EntityManager, offsetMs: ClockOffset) {
    this.#manager = manager;
    this.#offsetMs = offsetMs;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  async terms({ meter, resource, plan, accountType }: Price, sinceMs: number) {
    const [row] = await this.#manager.query<[{ count: string; has: boolean; recent: string }]>(
      `SELECT count(*) AS count, coalesce(bool_or((meter, resource, plan, account_type) = ($1, $2, $3, $4)), false) AS has,
         (SELECT count(*) FROM price WHERE (meter, resource, plan, account_type) = ($1, $2, $3, $4)
            AND effective_at > $5::timestamptz) AS recent
       FROM (SELECT DISTINCT meter, resource, plan, account_type FROM price) AS terms`,
      [meter, resource, plan, accountType, instant(sinceMs)],
    );
    return { count: Number(row.count), has: row.has, recent: Number(row.recent) };
  }

  async insert(price: Price): Promise<void> {
    await this.#manager.query(
      `INSERT INTO price (id, meter, resource, plan, account_type, currency, micros, per_units, effective_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        price.id,
        price.meter,
        price.resource,
        price.plan,
        price.accountType,
        price.currency,
        price.micros,
        price.perUnits,
        instant(price.effectiveAtMs),
      ],
    );
  }
}
