import type { DataSource, EntityManager } from "typeorm";
import type { Holding, Keeper } from "../domain/holdings.ts";
import type { ArrivedReservation } from "../domain/ingest.ts";
import { type ClockOffset, instant, nowMsExpression, readNowMs } from "./clock.ts";
import { type UnitsRow, unitsRow } from "./reservation-row.ts";

/** Rows deleted by one statement: some tens of milliseconds. */
const MAX_DELETED = 5000;
/** A verifier that did not hear the answer asks again within minutes, not hours. */
const SETTLED_KEPT_MS = 3_600_000;
/** The batch may lie on the disk of a replica that is down; as long as leases that were forfeited are kept. */
const UNHEARD_KEPT_MS = 90 * 86_400_000;

/** Notes what a batch holds. What was settled before it came is found that way. */
export async function holdReservations(
  manager: EntityManager,
  arrived: readonly ArrivedReservation[],
): Promise<void> {
  // One statement cannot meet one row twice.
  const rows = [...new Map(arrived.map((each) => [each.decisionId, each])).values()];
  if (rows.length === 0) return;
  await manager.query(
    `INSERT INTO reservation AS r
       (decision_id, expires_at, account_id, key_id, parent_key_id, resource, minute, estimate, draws,
        costs, wallets)
     SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],
       $7::bigint[], $8::jsonb[], $9::jsonb[], $10::jsonb[], $11::jsonb[]) AS a(decision_id) ORDER BY a.decision_id
     ON CONFLICT (decision_id) DO UPDATE SET account_id = excluded.account_id, key_id = excluded.key_id,
       parent_key_id = excluded.parent_key_id, resource = excluded.resource, minute = excluded.minute,
       estimate = excluded.estimate, draws = excluded.draws, costs = excluded.costs, wallets = excluded.wallets
     WHERE r.account_id IS NULL`,
    [
      rows.map(({ decisionId }) => decisionId),
      rows.map(({ expiresAtMs }) => instant(expiresAtMs)),
      rows.map(({ held }) => held.accountId),
      rows.map(({ held }) => held.keyId),
      rows.map(({ held }) => held.parentKeyId),
      rows.map(({ held }) => held.resource),
      rows.map(({ held }) => held.minute),
      rows.map(({ held }) => JSON.stringify(unitsRow(held.estimate))),
      rows.map(({ held }) => JSON.stringify(held.draws)),
      rows.map(({ held }) => (held.costs.length === 0 ? null : JSON.stringify(held.costs))),
      rows.map(({ held }) => (held.walletIds.length === 0 ? null : JSON.stringify(held.walletIds))),
    ],
  );
}

/**
 * Forgets reservations that are over: one that expired unsettled at once, for its id says that it has; one that was
 * settled when nobody asks again.
 */
export async function forgetReservations(dataSource: DataSource, offsetMs: ClockOffset): Promise<void> {
  const nowMs = await readNowMs(dataSource.manager, offsetMs);
  const settled = (ageMs: number, more: string) =>
    forget(dataSource, `state <> 'OPEN' AND ${more}`, nowMs - ageMs);
  await forget(dataSource, "state = 'OPEN'", nowMs);
  await settled(SETTLED_KEPT_MS, "booked");
  await settled(UNHEARD_KEPT_MS, "NOT booked");
}

async function forget(dataSource: DataSource, which: string, beforeMs: number): Promise<void> {
  await dataSource.query(
    `DELETE FROM reservation WHERE decision_id IN (
       SELECT decision_id FROM reservation WHERE ${which} AND expires_at <= $1::timestamptz
       LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [instant(beforeMs), MAX_DELETED],
  );
}

/** Reservations as what is kept for accounts: while one is open, its account may still be charged or refunded. */
export class OpenReservations implements Keeper {
  readonly #dataSource: DataSource;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, offsetMs: ClockOffset) {
    this.#dataSource = dataSource;
    this.#offsetMs = offsetMs;
  }

  async heldFor(accountId: string, limit: number): Promise<Holding[]> {
    const rows = await this.#dataSource.query<
      { decision_id: string; account_id: string; estimate: UnitsRow }[]
    >(
      `SELECT r.decision_id, r.account_id, r.estimate FROM account a JOIN reservation r ON r.account_id = a.id
       WHERE a.path @> ARRAY[$1]::text[] AND r.state = 'OPEN'
         AND extract(epoch FROM r.expires_at) * 1000 > ${nowMsExpression} + $3
       ORDER BY r.decision_id LIMIT $2`,
      [accountId, limit, this.#offsetMs()],
    );
    return rows.map(({ decision_id: decisionId, account_id, estimate }) => ({
      accountId: account_id,
      currency: undefined,
      amount: Object.values(estimate).reduce((sum, units) => sum + BigInt(units), 0n),
      decisionId,
    }));
  }
}
