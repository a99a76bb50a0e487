import type { JsonValue } from "@bufbuild/protobuf";
import { accountOfJson } from "@gatehouse/access/wire";
import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { FailureInit } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import { micros } from "../domain/money.ts";
import type { MoneyStore, MoneyTx, Remembered, RoundOfMoney } from "../domain/money-loop.ts";
import type { Movement, Party, RequestName, Transaction, Wallet, WalletName } from "../domain/movement.ts";
import { asFailure } from "./as-failure.ts";
import { type AuditEvent, writeAudit } from "./audit.ts";
import { type ClockOffset, instant, nowMsExpression, readNowMs } from "./clock.ts";
import { notifyFreed } from "./notice.ts";
import { openWallets } from "./open-wallets.ts";
import { chainOf } from "./postgres-mirror.ts";
import { recallLeases } from "./recall.ts";
import { tellRefilled } from "./refilled.ts";
import { type TransactionRow, transactionColumns, transactionOf } from "./transaction-row.ts";

export class PostgresMoneyStore implements MoneyStore {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  transact<T>(work: (tx: MoneyTx) => Promise<T>): Promise<{ value: T; freshness: string }> {
    return asFailure(this.#log.commit((tx) => work(new PostgresMoneyTx(tx, this.#offsetMs))));
  }
}

class PostgresMoneyTx implements MoneyTx {
  readonly #tx: Tx;
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.#tx = tx;
    this.#manager = tx.manager;
    this.#offsetMs = offsetMs;
  }

  async claim(
    names: readonly { readonly name: RequestName; readonly transactionId: string }[],
  ): Promise<ReadonlyMap<number, Remembered>> {
    if (names.length === 0) return new Map();
    const columns = columnsOf(names.map(({ name }) => name));
    // In one order: two transactions that claim the same names wait for each other once.
    const claimed = await this.#manager.query<{ account_id: string; idempotency_key: string }[]>(
      `INSERT INTO money_request (account_id, idempotency_key, digest, transfer_id)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n(account_id, idempotency_key)
       ORDER BY account_id, idempotency_key
       ON CONFLICT DO NOTHING RETURNING account_id, idempotency_key`,
      [...columns, names.map(({ name }) => name.digest), names.map(({ transactionId }) => transactionId)],
    );
    if (claimed.length === names.length) return new Map();
    const rows = await this.#manager.query<RequestRow[]>(
      `SELECT r.account_id, r.idempotency_key, r.digest, r.failure, ${transactionColumns}
       FROM unnest($1::text[], $2::text[]) AS n(account_id, idempotency_key)
       JOIN money_request r USING (account_id, idempotency_key)
       LEFT JOIN ledger_transfer t ON t.id = r.transfer_id`,
      columns,
    );
    const fresh = new Set(claimed.map((row) => nameOf(row.account_id, row.idempotency_key)));
    const known = new Map(rows.map((row) => [nameOf(row.account_id, row.idempotency_key), row]));
    return new Map(
      names.flatMap(({ name: { accountId, idempotencyKey } }, place) => {
        const name = nameOf(accountId, idempotencyKey);
        return fresh.has(name) ? [] : [[place, rememberedOf(known.get(name)!)] as const];
      }),
    );
  }

  async transactions(ids: readonly string[]): Promise<readonly Transaction[]> {
    const rows = await this.#manager.query<TransactionRow[]>(
      `SELECT ${transactionColumns} FROM ledger_transfer t WHERE t.id = ANY($1)`,
      [ids],
    );
    return rows.map(transactionOf);
  }

  async lock(names: readonly WalletName[]): Promise<{ nowMs: number; wallets: readonly Wallet[] }> {
    const rows = await this.#manager.query<(WalletRow & { now_ms: string })[]>(
      `SELECT ${walletColumns}, ${nowMsExpression} AS now_ms FROM wallet w
       JOIN unnest($1::text[], $2::text[]) AS n(account_id, currency) USING (account_id, currency)
       ORDER BY w.id FOR UPDATE OF w`,
      [names.map(({ accountId }) => accountId), names.map(({ currency }) => currency)],
    );
    const nowMs = rows[0] === undefined ? await this.#nowMs() : Number(rows[0].now_ms) + this.#offsetMs();
    return { nowMs, wallets: rows.map(walletOf) };
  }

  async open(names: readonly WalletName[]): Promise<void> {
    await openWallets(this.#tx, names, await this.#nowMs());
  }

  async closed(accountIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#manager.query<{ id: string; chain: JsonValue[] }[]>(
      `SELECT a.id, ${chainOf} AS chain FROM account a WHERE a.id = ANY($1)`,
      [accountIds],
    );
    const closed = rows.filter(({ chain }) => chain.some((node) => accountOfJson(node).status === "CLOSED"));
    return new Set(closed.map(({ id }) => id));
  }

  async refunded(transactionIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#manager.query<{ refunds: string }[]>(
      "SELECT refunds FROM ledger_transfer WHERE refunds = ANY($1)",
      [transactionIds],
    );
    return new Set(rows.map(({ refunds }) => refunds));
  }

  async write({ transactions, wallets, refused, unclaimed, recalled }: RoundOfMoney): Promise<void> {
    if (transactions.length > 0) {
      const rows = transactions.map(({ transaction }) => transaction);
      await tellRefilled(this.#tx, wallets);
      await this.#move(rows, wallets);
      await writeAudit(this.#manager, transactions.flatMap(auditOf));
      // Who waits for a wallet waits for what is lent of it: of others nobody needs to hear.
      const lent = wallets.filter(({ leased }) => leased > 0).map(({ id }) => id);
      await notifyFreed(this.#manager, lent);
    }
    if (refused.length > 0) await this.#refuse(refused);
    if (unclaimed.length > 0) {
      await this.#manager.query(
        `DELETE FROM money_request r USING unnest($1::text[], $2::text[]) AS n(account_id, idempotency_key)
         WHERE r.account_id = n.account_id AND r.idempotency_key = n.idempotency_key`,
        columnsOf(unclaimed),
      );
    }
    await recallLeases(this.#manager, recalled);
  }

  #nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  async #move(transactions: readonly Transaction[], wallets: readonly Wallet[]): Promise<void> {
    const balanceOf = (party: Party) => ("system" in party ? null : party.balance);
    const idOf = (party: Party) => ("system" in party ? party.system : party.walletId);
    await this.#manager.query(
      `WITH moved AS (
         UPDATE wallet SET balance = m.balance, moved_at = m.at
         FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS m(id, balance, at) WHERE wallet.id = m.id)
       INSERT INTO ledger_transfer (id, at, kind, organization_id, currency, from_wallet, to_wallet, amount,
         from_balance, to_balance, reference, reason, refunds, actor_key_id)
       SELECT id, at, kind, organization_id, currency, from_wallet, to_wallet, amount,
         from_balance, to_balance, reference, reason, refunds, actor_key_id
       FROM unnest($4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
         $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[])
         WITH ORDINALITY AS t(id, at, kind, organization_id, currency, from_wallet, to_wallet, amount,
           from_balance, to_balance, reference, reason, refunds, actor_key_id, n)
       ORDER BY n`,
      [
        wallets.map(({ id }) => id),
        wallets.map(({ balance }) => balance),
        wallets.map(({ movedAtMs }) => instant(movedAtMs)),
        transactions.map(({ id }) => id),
        transactions.map(({ atMs }) => instant(atMs)),
        transactions.map(({ kind }) => kind),
        transactions.map(({ organizationId }) => organizationId),
        transactions.map(({ currency }) => currency),
        transactions.map(({ from }) => idOf(from)),
        transactions.map(({ to }) => idOf(to)),
        transactions.map(({ amount }) => amount),
        transactions.map(({ from }) => balanceOf(from)),
        transactions.map(({ to }) => balanceOf(to)),
        transactions.map(({ reference }) => reference),
        transactions.map(({ reason }) => reason),
        transactions.map(({ refunds }) => refunds ?? null),
        transactions.map(({ actorKeyId }) => actorKeyId),
      ],
    );
  }

  async #refuse(refused: RoundOfMoney["refused"]): Promise<void> {
    await this.#manager.query(
      `UPDATE money_request r SET transfer_id = NULL, failure = n.failure
       FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS n(account_id, idempotency_key, failure)
       WHERE r.account_id = n.account_id AND r.idempotency_key = n.idempotency_key`,
      [
        ...columnsOf(refused.map(({ name }) => name)),
        refused.map(({ failure: { code, reason, message, violations } }) =>
          JSON.stringify({ code, reason, message, violations }),
        ),
      ],
    );
  }
}

interface WalletRow {
  readonly id: string;
  readonly account_id: string;
  readonly currency: string;
  readonly balance: string;
  readonly leased: string;
  readonly credit_limit: string;
  readonly moved_at: Date;
}

/** SQL: what `walletOf` reads, of `wallet w`. */
const walletColumns = "w.id, w.account_id, w.currency, w.balance, w.leased, w.credit_limit, w.moved_at";

function walletOf(row: WalletRow): Wallet {
  return {
    id: row.id,
    accountId: row.account_id,
    currency: row.currency,
    balance: micros(BigInt(row.balance)),
    leased: micros(BigInt(row.leased)),
    creditLimit: micros(BigInt(row.credit_limit)),
    movedAtMs: row.moved_at.getTime(),
  };
}

interface RequestRow extends TransactionRow {
  readonly account_id: string;
  readonly idempotency_key: string;
  readonly digest: string;
  readonly failure: FailureInit | null;
}

function rememberedOf(row: RequestRow): Remembered {
  const { digest, failure } = row;
  return { digest, outcome: failure === null ? { transaction: transactionOf(row) } : { failure } };
}

function columnsOf(names: readonly RequestName[]): [string[], string[]] {
  return [names.map(({ accountId }) => accountId), names.map(({ idempotencyKey }) => idempotencyKey)];
}

function nameOf(accountId: string, idempotencyKey: string): string {
  return `${accountId} ${idempotencyKey}`;
}

/** Transfers are in the ledger, which says who moved what: the audit has what only the provider may do. */
function auditOf({ movement, transaction }: { movement: Movement; transaction: Transaction }): AuditEvent[] {
  const { kind, from, to } = transaction;
  const { actor } = movement;
  const party = "system" in to ? from : to;
  const targetId = "system" in party ? "" : party.accountId;
  // Of the other side the ledger tells those who reach it.
  const {
    from: _,
    to: __,
    ...after
  } = { ...transaction, ...("system" in party ? {} : { balance: party.balance }) };
  const event = { actor, targetId, concerns: targetId, before: undefined, after };
  if (kind === "TOP_UP") return [{ ...event, action: "gatehouse.credits.top-up" }];
  if (kind === "ADJUSTMENT" || kind === "REFUND") return [{ ...event, action: "gatehouse.credits.adjust" }];
  return [];
}
