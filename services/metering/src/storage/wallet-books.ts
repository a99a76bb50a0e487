import type { DataSource } from "typeorm";
import type { Audit, Book, Difference } from "../domain/books.ts";
import { latestBalance } from "./latest-balance.ts";

/** Wallets of one statement: some milliseconds, and a second for each that has moved a million times; it may take 30. */
const MAX_WALLETS = 20;
/** Hours of these that are told of one by one: whoever puts them right adds all of them up anew. */
const MAX_WRONG_HOURS = 100;
/** Rows of the ledger of one statement. */
const MAX_ROWS = 20_000;

/** Every wallet, and what it moved by hour, beside its rows in the ledger; and beside its leases. */
export class WalletBook implements Book {
  readonly name = "wallets";
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  end(after = ""): Promise<string | undefined> {
    return endOf(this.#dataSource, { table: "wallet", key: "id", most: MAX_WALLETS }, after);
  }

  async audit(after = "", last: string | undefined): Promise<Audit> {
    const rows = await this.#dataSource.query<WalletFigures[]>(
      `WITH mine AS MATERIALIZED (
         SELECT w.id, w.balance, w.leased FROM wallet w WHERE w.id > $1 AND ($2::text IS NULL OR w.id <= $2)),
       moved AS MATERIALIZED (
         SELECT w.id AS wallet_id, m.* FROM mine w, LATERAL (
           SELECT date_bin('1 hour', at, 'epoch') AS hour, kind, sum(amount) AS amount FROM (
             SELECT t.at, t.kind, t.amount FROM ledger_transfer t WHERE t.to_wallet = w.id AND t.to_balance IS NOT NULL
             UNION ALL
             SELECT t.at, t.kind, -t.amount FROM ledger_transfer t
             WHERE t.from_wallet = w.id AND t.from_balance IS NOT NULL) AS t
           GROUP BY 1, 2) AS m),
       wrong AS (
         SELECT wallet_id, jsonb_agg(jsonb_build_array(hour, kind, is_there::text, in_rows::text)) AS hours
         FROM (SELECT wallet_id, hour, kind, coalesce(h.amount, 0) AS is_there, coalesce(m.amount, 0) AS in_rows
               FROM (SELECT h.* FROM mine w JOIN wallet_hour h ON h.wallet_id = w.id) AS h
                 FULL JOIN moved m USING (wallet_id, hour, kind)
               WHERE h.amount IS DISTINCT FROM m.amount LIMIT ${MAX_WRONG_HOURS}) AS x GROUP BY 1)
       SELECT w.id, w.balance, w.leased,
         coalesce((SELECT sum(m.amount) FROM moved m WHERE m.wallet_id = w.id), 0) AS sum,
         coalesce((SELECT x.hours FROM wrong x WHERE x.wallet_id = w.id), '[]') AS wrong_hours,
         coalesce(${latestBalance("w.id")}, 0) AS latest,
         coalesce((SELECT sum(greatest(l.units - l.spent, 0)) FROM wallet_lease l
           WHERE l.wallet_id = w.id AND NOT l.closed), 0) AS lent
       FROM mine w`,
      [after, last],
    );
    const differences = rows.flatMap(({ id, balance, leased, sum, wrong_hours, latest, lent }) => [
      ...differing("BALANCE", id, balance, sum),
      ...differing("RUNNING_BALANCE", id, balance, latest),
      ...wrong_hours.flatMap(([hour, kind, is, rows]) =>
        differing("WALLET_HOUR", `${id} ${hour} ${kind}`, is, rows),
      ),
      ...differing("WALLET_LEASED", id, leased, lent),
    ]);
    return { looked: rows.length, differences };
  }
}

/** Every row of the ledger: both of its sides are there, so that all wallets together come to nothing. */
export class LedgerBook implements Book {
  readonly name = "ledger";
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  end(after = "0"): Promise<string | undefined> {
    return endOf(this.#dataSource, { table: "ledger_transfer", key: "seq", most: MAX_ROWS }, after);
  }

  async audit(after = "0", last: string | undefined): Promise<Audit> {
    const rows = await this.#dataSource.query<{ id: string; sides: string; known: string }[]>(
      `SELECT t.id, t.from_wallet || ' ' || t.to_wallet || ' ' || t.currency AS sides,
         ${sideOf("from")} || ' ' || ${sideOf("to")} || ' ' || t.currency AS known
       FROM ledger_transfer t WHERE t.seq > $1 AND ($2::bigint IS NULL OR t.seq <= $2)`,
      [after, last],
    );
    const differences = rows.flatMap(({ id, sides, known }) => differing("LOST_SIDE", id, sides, known));
    return { looked: rows.length, differences };
  }
}

/** Every quota's bucket beside its leases. */
export class QuotaBook implements Book {
  readonly name = "quotas";
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  end(after = "0"): Promise<string | undefined> {
    return endOf(this.#dataSource, { table: "quota_bucket", key: "id", most: MAX_ROWS }, after);
  }

  async audit(after = "0", last: string | undefined): Promise<Audit> {
    const rows = await this.#dataSource.query<{ id: string; leased: string; lent: string }[]>(
      `SELECT b.id, b.leased, coalesce((SELECT sum(greatest(l.units - l.spent, 0)) FROM quota_lease l
         WHERE l.bucket_id = b.id AND NOT l.closed AND NOT l.forfeited), 0) AS lent
       FROM quota_bucket b WHERE b.id > $1 AND ($2::bigint IS NULL OR b.id <= $2)`,
      [after, last],
    );
    const differences = rows.flatMap(({ id, leased, lent }) => differing("QUOTA_LEASED", id, leased, lent));
    return { looked: rows.length, differences };
  }
}

/** The key of the last of so many rows after one; undefined where there are fewer. */
async function endOf(
  dataSource: DataSource,
  { table, key, most }: { readonly table: string; readonly key: string; readonly most: number },
  after: string,
): Promise<string | undefined> {
  const [last] = await dataSource.query<{ key: string }[]>(
    `SELECT ${key} AS key FROM ${table} WHERE ${key} > $1 ORDER BY ${key} OFFSET $2 LIMIT 1`,
    [after, most - 1],
  );
  return last?.key;
}

interface WalletFigures {
  readonly id: string;
  readonly balance: string;
  readonly leased: string;
  readonly sum: string;
  /** Each hour and kind, what is there, and what its rows add up to. */
  readonly wrong_hours: readonly (readonly [hour: string, kind: string, is: string, rows: string])[];
  readonly latest: string;
  readonly lent: string;
}

/** SQL: the side's name if it is the provider's, or a wallet of the row's currency that says its balance. */
function sideOf(side: "from" | "to"): string {
  return `CASE WHEN t.${side}_wallet IN ('EXTERNAL', 'REVENUE', 'ADJUSTMENT') AND t.${side}_balance IS NULL
      THEN t.${side}_wallet
    ELSE coalesce((SELECT w.id FROM wallet w WHERE w.id = t.${side}_wallet AND w.currency = t.currency
      AND t.${side}_balance IS NOT NULL), '') END`;
}

export function differing(what: Difference["what"], of: string, is: string, shouldBe: string): Difference[] {
  return is === shouldBe ? [] : [{ what, of, is, shouldBe }];
}
