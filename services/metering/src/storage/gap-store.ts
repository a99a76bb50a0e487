import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { GapStore, GapTx, LostLease, ReturnedLease } from "../domain/accept-gap.ts";
import { holderOf, type ProducerEpoch } from "../domain/usage.ts";
import { writeAudit } from "./audit.ts";
import { endEpoch } from "./end-epoch.ts";
import { REMEMBERED_BATCHES } from "./ingest-store.ts";
import { counted } from "./most-counted.ts";
import { notifyFreed } from "./notice.ts";

/** Who acts where a call brings the service credential. */
const SERVICE = { keyId: "service", accountId: "" };

export class PostgresGapStore implements GapStore {
  readonly #log: ChangeLog;

  constructor(log: ChangeLog) {
    this.#log = log;
  }

  async transact<T>(work: (tx: GapTx) => Promise<T>): Promise<T> {
    const { value } = await this.#log.commit((tx) => work(new PostgresGapTx(tx)));
    return value;
  }
}

class PostgresGapTx implements GapTx {
  readonly #tx: Tx;
  readonly #manager: EntityManager;

  constructor(tx: Tx) {
    this.#tx = tx;
    this.#manager = tx.manager;
  }

  async lockKnownEpoch(of: ProducerEpoch): Promise<number | undefined> {
    const { producer, epoch } = of;
    // One that died before its first batch may have leases already.
    await this.#manager.query(
      `INSERT INTO producer_epoch (producer, epoch) SELECT $1, $2
       WHERE EXISTS (SELECT FROM quota_lease WHERE holder = $3 AND NOT closed)
         OR EXISTS (SELECT FROM wallet_lease WHERE holder = $3 AND NOT closed) ON CONFLICT DO NOTHING`,
      [producer, epoch, holderOf(of)],
    );
    const [row] = await this.#manager.query<{ next_sequence: string }[]>(
      "SELECT next_sequence FROM producer_epoch WHERE producer = $1 AND epoch = $2 FOR UPDATE",
      [producer, epoch],
    );
    return row && Number(row.next_sequence);
  }

  async forfeit(holder: string): Promise<LostLease[]> {
    // Buckets first and in order, as batches lock them.
    await this.#manager.query(
      `SELECT id FROM quota_bucket WHERE id IN (
         SELECT bucket_id FROM quota_lease WHERE holder = $1 AND NOT closed) ORDER BY id FOR UPDATE`,
      [holder],
    );
    const rows = await this.#manager.query<{ id: string; limit_id: string; unspent: string }[]>(
      `WITH kept AS (
         SELECT id, bucket_id, limit_id, greatest(units - spent, 0) AS unspent,
           CASE WHEN forfeited THEN 0 ELSE greatest(units - spent, 0) END AS open
         FROM quota_lease WHERE holder = $1 AND NOT closed FOR UPDATE),
       marked AS (
         UPDATE quota_lease l SET forfeited = true, after_gap = true FROM kept WHERE l.id = kept.id),
       drawn AS (
         UPDATE quota_bucket b SET spent = ${counted("b.spent + d.open")}, leased = b.leased - d.open
         FROM (SELECT bucket_id, sum(open)::bigint AS open FROM kept GROUP BY bucket_id) AS d WHERE b.id = d.bucket_id)
       SELECT id, limit_id, unspent FROM kept ORDER BY id`,
      [holder],
    );
    return rows.map((row) => ({ leaseId: row.id, limitId: row.limit_id, unspent: Number(row.unspent) }));
  }

  async skip({ producer, epoch }: ProducerEpoch, from: number, to: number): Promise<void> {
    // With a digest that nothing has: one that turns up is not taken for one that was booked.
    await this.#manager.query(
      `INSERT INTO ingested_batch (producer, epoch, sequence, digest, quarantined)
       SELECT $1, $2, n, '', 0 FROM generate_series(greatest($3::bigint, $4::bigint - $5::bigint), $4::bigint - 1) AS n`,
      [producer, epoch, from, to, REMEMBERED_BATCHES],
    );
    await this.#manager.query(
      "UPDATE producer_epoch SET next_sequence = $3 WHERE producer = $1 AND epoch = $2",
      [producer, epoch, to],
    );
  }

  end(epoch: ProducerEpoch): Promise<boolean> {
    return endEpoch(this.#tx, epoch);
  }

  async close(holder: string): Promise<ReturnedLease[]> {
    await this.#manager.query("UPDATE quota_lease SET closed = true WHERE holder = $1 AND NOT closed", [
      holder,
    ]);
    await this.#manager.query(
      `SELECT FROM wallet WHERE id IN (SELECT wallet_id FROM wallet_lease WHERE holder = $1 AND NOT closed)
       ORDER BY id FOR UPDATE`,
      [holder],
    );
    const rows = await this.#manager.query<{ id: string; wallet_id: string; unspent: string }[]>(
      `WITH closed AS (
         UPDATE wallet_lease SET closed = true WHERE holder = $1 AND NOT closed
         RETURNING id, wallet_id, greatest(units - spent, 0) AS unspent),
       returned AS (
         UPDATE wallet w SET leased = w.leased - c.unspent
         FROM (SELECT wallet_id, sum(unspent)::bigint AS unspent FROM closed GROUP BY wallet_id) AS c
         WHERE w.id = c.wallet_id)
       SELECT id, wallet_id, unspent FROM closed ORDER BY id`,
      [holder],
    );
    await notifyFreed(this.#manager, [...new Set(rows.map((row) => row.wallet_id))]);
    return rows.map((row) => ({ leaseId: row.id, walletId: row.wallet_id, unspent: Number(row.unspent) }));
  }

  audit(targetId: string, before: unknown, after: unknown): Promise<void> {
    const action = "gatehouse.usage.accept-gap";
    return writeAudit(this.#manager, [{ actor: SERVICE, action, targetId, concerns: "", before, after }]);
  }
}
