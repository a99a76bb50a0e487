import type { EntityManager } from "typeorm";
import type { NewLease, RoundChanges } from "../domain/lease.ts";
import { instant } from "./clock.ts";
import { counted } from "./most-counted.ts";
import { freedNotices, recallNotices } from "./notice.ts";
import { runPrepared } from "./prepared.ts";
import { rateColumns } from "./rate-row.ts";

/** Rows of one kind, and what writes them. */
interface Part {
  readonly types: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly write: (rows: string) => string;
}

/** Writes what a round changed, of rows that it has locked: in one statement, and none where nothing changed. */
export async function writeRound(manager: EntityManager, changes: RoundChanges): Promise<void> {
  const parts = [...partsOf(changes).entries()].filter(([, { rows }]) => rows.length > 0);
  const notices = [...recallNotices(changes.recalls), ...freedNotices(changes.freedLimitIds)];
  if (parts.length + notices.length === 0) return;
  const values: unknown[][] = [];
  const unnested = (types: Part["types"], rows: Part["rows"]) => {
    const columns = types.map((type, n) => `$${values.push(rows.map((row) => row[n]))}::${type}[]`);
    return `unnest(${columns.join(", ")})`;
  };
  const told = `SELECT pg_notify(channel, notice) FROM ${unnested(["text", "text"], notices)} AS n(channel, notice)`;
  const written = parts.map(([n, { types, rows, write }]) => `part${n} AS (${write(unnested(types, rows))})`);
  // A dozen of the sets that are thinkable occur.
  const name = `write a round: ${parts.map(([n]) => n).join(" ")}`;
  const text = written.length === 0 ? told : `WITH ${written.join(", ")} ${told}`;
  await runPrepared(manager, { name, text }, values);
}

function partsOf(changes: RoundChanges): Part[] {
  const [ofQuotas, ofRates] = [
    changes.newLeases.filter(isOfQuota),
    changes.newLeases.filter((lease) => !isOfQuota(lease)),
  ];
  return [
    {
      types: ["bigint", "bigint", "bigint"],
      rows: changes.quotaBuckets.map(({ id, spent, leased }) => [id, spent, leased]),
      write: (rows) =>
        `UPDATE quota_bucket b SET spent = ${counted("w.spent")}, leased = w.leased
         FROM ${rows} AS w(id, spent, leased) WHERE b.id = w.id`,
    },
    {
      types: ["bigint", "timestamptz"],
      rows: changes.forfeits.bucketIds.map((id) => [id, instant(changes.forfeits.beforeMs)]),
      write: (rows) =>
        `UPDATE quota_lease l SET forfeited = true FROM ${rows} AS f(bucket_id, before)
         WHERE l.bucket_id = f.bucket_id AND NOT l.closed AND NOT l.forfeited AND l.deadline <= f.before`,
    },
    {
      types: ["bigint", ...LEASE_TYPES],
      rows: ofQuotas.map((lease) => [lease.bucketId, ...rowOf(lease)]),
      write: (rows) =>
        `INSERT INTO quota_lease (bucket_id, id, limit_id, holder, units, deadline) SELECT * FROM ${rows}`,
    },
    {
      types: ["text", "bigint", "bigint", "bigint", "bigint", "jsonb"],
      rows: changes.rateBuckets.map(({ limitId, state }) => [
        ...[limitId, state.available, state.carryParts, state.leased, state.accountedAtMs],
        JSON.stringify(state.idle),
      ]),
      write: (rows) =>
        `UPDATE rate_bucket b SET available = w.available, carry_parts = w.carry_parts, leased = w.leased,
           accounted_at_ms = w.accounted_at_ms, idle = w.idle
         FROM ${rows} AS w(${rateColumns}) WHERE b.limit_id = w.limit_id`,
    },
    {
      types: LEASE_TYPES,
      rows: ofRates.map(rowOf),
      write: (rows) => `INSERT INTO rate_lease (id, limit_id, holder, units, deadline) SELECT * FROM ${rows}`,
    },
    {
      types: ["text", "bigint"],
      rows: changes.rateLeaseSpends.map(({ id, spent }) => [id, spent]),
      write: (rows) =>
        `UPDATE rate_lease l SET spent = w.spent FROM ${rows} AS w(id, spent) WHERE l.id = w.id`,
    },
    {
      types: ["text"],
      rows: changes.endedRateLeaseIds.map((id) => [id]),
      write: (rows) => `DELETE FROM rate_lease l USING ${rows} AS w(id) WHERE l.id = w.id`,
    },
    {
      types: ["text", "bigint"],
      rows: changes.wallets.map(({ id, leased }) => [id, leased]),
      write: (rows) =>
        `UPDATE wallet b SET leased = w.leased FROM ${rows} AS w(id, leased) WHERE b.id = w.id`,
    },
    {
      types: LEASE_TYPES,
      rows: changes.newWalletLeases.map(rowOf),
      write: (rows) =>
        `INSERT INTO wallet_lease (id, wallet_id, holder, units, deadline) SELECT * FROM ${rows}`,
    },
  ];
}

const LEASE_TYPES = ["text", "text", "text", "bigint", "timestamptz"];

function rowOf({ id, limitId, holder, units, deadlineMs }: NewLease): unknown[] {
  return [id, limitId, holder, units, instant(deadlineMs)];
}

function isOfQuota({ bucketId }: NewLease): boolean {
  return bucketId !== undefined;
}
