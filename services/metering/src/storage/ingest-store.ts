import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type { ArrivedReservation, BookedUsage, IngestStore, IngestTx, TakenBatch } from "../domain/ingest.ts";
import type { BucketDraw, HeldLease } from "../domain/lease-spend.ts";
import { REQUESTS } from "../domain/limit.ts";
import { type Batch, holderOf, type ProducerEpoch } from "../domain/usage.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { endEpoch } from "./end-epoch.ts";
import { holdReservations } from "./held-reservations.ts";
import { counted } from "./most-counted.ts";
import { notifyFreed } from "./notice.ts";
import { postUsage } from "./post-usage.ts";
import { bookRows } from "./usage-rows.ts";
import { lockWalletLeases, openWalletLeases, writeWalletLeases } from "./wallet-leases.ts";

/**
 * Digests that are remembered of one epoch. A producer that asks about a batch further back kept it longer than
 * it had to; it is told that the batch was taken.
 */
export const REMEMBERED_BATCHES = 10_000;
/** Of an epoch that has ended: its producer asks about the last ones, whose answers it did not hear. */
const REMEMBERED_AFTER_END = 100;

export class PostgresIngestStore implements IngestStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  async transact<T>(work: (tx: IngestTx) => Promise<T>): Promise<T> {
    const { value } = await this.#log.commit((tx) => work(new PostgresIngestTx(tx, this.#offsetMs)));
    return value;
  }

  async hasUnknown(accountIds: readonly string[], meters: readonly string[]): Promise<boolean> {
    const rows = await this.#dataSource.query<unknown[]>(
      `(SELECT FROM unnest($1::text[]) AS u(id) WHERE NOT EXISTS (SELECT FROM account a WHERE a.id = u.id) LIMIT 1)
       UNION ALL
       (SELECT FROM unnest($2::text[]) AS u(name)
        WHERE name <> '${REQUESTS}' AND NOT EXISTS (SELECT FROM meter m WHERE m.name = u.name) LIMIT 1)`,
      [accountIds, meters],
    );
    return rows.length > 0;
  }

  register(epoch: ProducerEpoch): Promise<number> {
    return this.transact((tx) => tx.lockEpoch(epoch));
  }
}

class PostgresIngestTx implements IngestTx {
  readonly #tx: Tx;
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.#tx = tx;
    this.#manager = tx.manager;
    this.#offsetMs = offsetMs;
  }

  async lockEpoch({ producer, epoch }: ProducerEpoch): Promise<number> {
    await this.#manager.query(
      "INSERT INTO producer_epoch (producer, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [producer, epoch],
    );
    const [row] = await this.#manager.query<[{ next_sequence: string }]>(
      "SELECT next_sequence FROM producer_epoch WHERE producer = $1 AND epoch = $2 FOR UPDATE",
      [producer, epoch],
    );
    return Number(row.next_sequence);
  }

  async taken({ producer, epoch, sequence }: Batch): Promise<TakenBatch> {
    const [row] = await this.#manager.query<{ digest: Buffer; quarantined: number }[]>(
      "SELECT digest, quarantined FROM ingested_batch WHERE producer = $1 AND epoch = $2 AND sequence = $3",
      [producer, epoch, sequence],
    );
    return { digest: row?.digest, quarantined: row?.quarantined ?? 0 };
  }

  bookUsage({ usage }: Batch): Promise<BookedUsage> {
    return bookRows(this.#manager, usage);
  }

  hold(reservations: readonly ArrivedReservation[]): Promise<void> {
    return holdReservations(this.#manager, reservations);
  }

  async endEpoch(epoch: ProducerEpoch): Promise<string[]> {
    const holder = holderOf(epoch);
    await endEpoch(this.#tx, epoch);
    const rows = await this.#manager.query<{ id: string }[]>(
      "SELECT id FROM quota_lease WHERE holder = $1 AND NOT closed",
      [holder],
    );
    return [...rows.map(({ id }) => id), ...(await openWalletLeases(this.#manager, holder))];
  }

  async leasesEnding(epoch: ProducerEpoch, endings: readonly string[]): Promise<string[]> {
    const rows = await this.#manager.query<{ id: string }[]>(
      `SELECT id FROM quota_lease WHERE holder = $1 AND NOT closed AND substring(id FROM '\\.[0-9]+$') = ANY($2)
       UNION ALL
       SELECT id FROM wallet_lease WHERE holder = $1 AND NOT closed AND substring(id FROM '\\.[0-9]+$') = ANY($2)`,
      [holderOf(epoch), endings],
    );
    return rows.map(({ id }) => id);
  }

  lockWalletLeases(leaseIds: readonly string[]): Promise<HeldLease[]> {
    return lockWalletLeases(this.#manager, leaseIds);
  }

  writeWalletLeases(leases: readonly HeldLease[], draws: ReadonlyMap<string, BucketDraw>): Promise<void> {
    return writeWalletLeases(this.#manager, leases, draws);
  }

  async postUsage({ producer, epoch, sequence }: Batch, spent: ReadonlyMap<string, number>): Promise<number> {
    const nowMs = await readNowMs(this.#manager, this.#offsetMs);
    const reference = `batch ${producer}/${epoch}/${sequence}`;
    const entries = [...spent].map(([walletId, amount]) => ({ reference, walletId, amount }));
    const posted = await postUsage(this.#manager, entries, nowMs);
    return posted.full;
  }

  async lockLeases(leaseIds: readonly string[]): Promise<HeldLease[]> {
    // Buckets first and in order, as acquires lock them.
    await this.#manager.query(
      `SELECT id FROM quota_bucket WHERE id IN (SELECT bucket_id FROM quota_lease WHERE id = ANY($1))
       ORDER BY id FOR UPDATE`,
      [leaseIds],
    );
    const rows = await this.#manager.query<
      {
        id: string;
        bucket_id: string;
        limit_id: string;
        units: string;
        spent: string;
        closed: boolean;
        forfeited: boolean;
        after_gap: boolean;
      }[]
    >(
      `SELECT id, bucket_id, limit_id, units, spent, closed, forfeited, after_gap FROM quota_lease
       WHERE id = ANY($1) ORDER BY id FOR UPDATE`,
      [leaseIds],
    );
    return rows.map((row) => ({
      id: row.id,
      bucketId: row.bucket_id,
      limitId: row.limit_id,
      units: Number(row.units),
      spent: Number(row.spent),
      closed: row.closed,
      forfeited: row.forfeited,
      afterGap: row.after_gap,
    }));
  }

  async writeLeases(leases: readonly HeldLease[], draws: ReadonlyMap<string, BucketDraw>): Promise<void> {
    await this.#manager.query(
      `UPDATE quota_lease SET spent = s.spent, closed = s.closed
       FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS s(id, spent, closed) WHERE quota_lease.id = s.id`,
      [leases.map(({ id }) => id), leases.map(({ spent }) => spent), leases.map(({ closed }) => closed)],
    );
    const changes = [...draws];
    await this.#manager.query(
      `UPDATE quota_bucket SET spent = ${counted("quota_bucket.spent + d.spent")}, leased = quota_bucket.leased + d.leased
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d(id, spent, leased) WHERE quota_bucket.id = d.id`,
      [changes.map(([id]) => id), changes.map(([, d]) => d.spent), changes.map(([, d]) => d.leased)],
    );
  }

  async finish(batch: Batch, quarantined: number, freedLimitIds: readonly string[]): Promise<void> {
    const { producer, epoch, sequence, digest, final } = batch;
    await this.#manager.query(
      `INSERT INTO ingested_batch (producer, epoch, sequence, digest, quarantined) VALUES ($1, $2, $3, $4, $5)`,
      [producer, epoch, sequence, Buffer.from(digest), quarantined],
    );
    await this.#manager.query(
      "DELETE FROM ingested_batch WHERE producer = $1 AND epoch = $2 AND sequence <= $3",
      [producer, epoch, sequence - (final ? REMEMBERED_AFTER_END : REMEMBERED_BATCHES)],
    );
    await this.#manager.query(
      "UPDATE producer_epoch SET next_sequence = $3 WHERE producer = $1 AND epoch = $2",
      [producer, epoch, sequence + 1],
    );
    await notifyFreed(this.#manager, freedLimitIds);
  }
}
