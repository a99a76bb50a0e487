import type { DataSource, EntityManager } from "typeorm";
import type { CreditScope } from "../domain/credit-scope.ts";
import { type Micros, micros, type TransferKind } from "../domain/money.ts";
import type { WalletName } from "../domain/movement.ts";
import type { Balance, BalanceStore } from "../domain/read-balances.ts";
import type { Entry, EntryQuery, EntryStore } from "../domain/read-entries.ts";
import { instant } from "./clock.ts";
import { latestBalance } from "./latest-balance.ts";

/** Reads of wallets and the ledger. Each answer is of one statement. */
export class PostgresCreditStore implements BalanceStore, EntryStore {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  balance(name: WalletName): Promise<Balance> {
    return readBalance(this.#dataSource.manager, name);
  }

  async amountAt({ accountId, currency }: WalletName, atMs: number): Promise<Micros> {
    const [row] = await this.#dataSource.query<{ balance: string | null }[]>(
      `SELECT ${latestBalance("w.id", "t.at <= $3")} AS balance FROM wallet w
       WHERE w.account_id = $1 AND w.currency = $2`,
      [accountId, currency, instant(atMs)],
    );
    return micros(BigInt(row?.balance ?? 0));
  }

  async balances(
    { accountId, descendants, currency }: CreditScope,
    after: WalletName | undefined,
    count: number,
  ): Promise<readonly Balance[]> {
    const of = descendants ? "a.path @> ARRAY[$1]" : "a.id = $1";
    const rows = await this.#dataSource.query<BalanceRow[]>(
      `SELECT w.account_id, w.currency, ${balanceColumns} FROM account a JOIN wallet w ON w.account_id = a.id
       LEFT JOIN account_balance_source s ON s.account_id = a.id
       WHERE ${of} AND ($2::text IS NULL OR w.currency = $2) AND (w.account_id, w.currency) > ($3, $4)
       ORDER BY w.account_id, w.currency LIMIT $5`,
      [accountId, currency ?? null, after?.accountId ?? "", after?.currency ?? "", count],
    );
    return rows.map(balanceOf);
  }

  async entries(query: EntryQuery, count: number): Promise<readonly Entry[]> {
    const { accountId, organizationId, descendants, currency, kinds, startMs, endMs, after, reader } = query;
    const from = descendants ? entriesBelow(organizationId !== undefined) : entriesOfAccount;
    const rows = await this.#dataSource.query<EntryRow[]>(
      `SELECT e.at, e.seq, e.received, e.id, e.kind, e.account_id, e.currency, e.amount, e.balance, e.reason, e.refunds,
         ${shownReference} AS reference,
         CASE WHEN ${isSeen("c.id")} THEN c.id ELSE '' END AS counterpart_id,
         CASE WHEN ${isSeen("k.account_id")} THEN k.id ELSE '' END AS actor_key_id
       FROM (${from}) AS e
       LEFT JOIN wallet o ON o.id = e.other LEFT JOIN account c ON c.id = o.account_id
       LEFT JOIN key k ON k.id = e.actor_key_id
       ORDER BY e.at DESC, e.seq DESC, e.received DESC`,
      [
        accountId,
        currency ?? null,
        kinds.length === 0 ? null : kinds,
        instant(startMs ?? 0),
        // The first that is not listed: an entry of the same place and the other side may be left.
        instant(after?.atMs ?? LATEST_MS),
        instant(endMs ?? LATEST_MS),
        after?.seq ?? null,
        after?.isReceived ?? null,
        count,
        reader.accountId,
        reader.seesBelow,
        ...(descendants && organizationId !== undefined ? [organizationId] : []),
      ],
    );
    return rows.map(entryOf);
  }
}

/** The balance of now; nothing where there is no wallet. */
export async function readBalance(
  manager: EntityManager,
  { accountId, currency }: WalletName,
): Promise<Balance> {
  const [row] = await manager.query<[BalanceRow]>(
    `SELECT n.account_id, n.currency, ${balanceColumns}
     FROM (SELECT $1::text AS account_id, $2::text AS currency) AS n
     LEFT JOIN wallet w ON w.account_id = n.account_id AND w.currency = n.currency
     LEFT JOIN account_balance_source s ON s.account_id = n.account_id`,
    [accountId, currency],
  );
  return balanceOf(row);
}

/** No entry is later. */
const LATEST_MS = Date.UTC(2200, 0, 1);

const balanceColumns = `coalesce(w.balance, 0) AS balance, coalesce(w.leased, 0) AS leased,
  coalesce(w.credit_limit, 0) AS credit_limit, coalesce(w.credit_given, 0) AS credit_given, coalesce(s.uses_parent_balance, false) AS uses_parent_balance`;

interface BalanceRow {
  readonly account_id: string;
  readonly currency: string;
  readonly balance: string;
  readonly leased: string;
  readonly credit_limit: string;
  readonly credit_given: string;
  readonly uses_parent_balance: boolean;
}

function balanceOf(row: BalanceRow): Balance {
  return {
    accountId: row.account_id,
    currency: row.currency,
    balance: micros(BigInt(row.balance)),
    leased: micros(BigInt(row.leased)),
    creditLimit: micros(BigInt(row.credit_limit)),
    creditGiven: micros(BigInt(row.credit_given)),
    usesParentBalance: row.uses_parent_balance,
  };
}

/** What is asked of a transaction, and of its place in the list. */
const isAsked = `($3::text[] IS NULL OR t.kind = ANY($3)) AND t.at >= $4::timestamptz
  AND t.at <= $5::timestamptz AND t.at < $6::timestamptz`;

function isAfter(received: string): string {
  return `($7::bigint IS NULL OR (t.at, t.seq, ${received}) < ($5::timestamptz, $7::bigint, $8::boolean))`;
}

const side = (received: boolean) => {
  const [mine, other, sign] = received ? ["to", "from", ""] : ["from", "to", "-"];
  return `(SELECT t.at, t.seq, ${received} AS received, t.id, t.kind, ${sign}t.amount AS amount,
      t.${mine}_balance AS balance, t.${other}_wallet AS other, t.reference, t.reason, t.refunds, t.actor_key_id
    FROM ledger_transfer t WHERE t.${mine}_wallet = w.id AND t.${mine}_balance IS NOT NULL
      AND ${isAsked} AND ${isAfter(`${received}`)}
    ORDER BY t.at DESC, t.seq DESC LIMIT $9)`;
};

/** Of one account's few wallets: the latest of each side of each. */
const entriesOfAccount = `SELECT w.account_id, w.currency, s.* FROM wallet w,
  LATERAL (${side(false)} UNION ALL ${side(true)}) AS s
  WHERE w.account_id = $1 AND ($2::text IS NULL OR w.currency = $2)
  ORDER BY s.at DESC, s.seq DESC, s.received DESC LIMIT $9`;

/** Of an organization's accounts, or of all: back through what it moved, which has an index; wallets may be many. */
function entriesBelow(isOfOrganization: boolean): string {
  return `SELECT w.account_id, w.currency, t.at, t.seq, s.received, t.id, t.kind, s.amount, s.balance, s.other,
      t.reference, t.reason, t.refunds, t.actor_key_id
    FROM ledger_transfer t,
      LATERAL (VALUES (t.from_wallet, false, -t.amount, t.from_balance, t.to_wallet),
                      (t.to_wallet, true, t.amount, t.to_balance, t.from_wallet))
        AS s(wallet, received, amount, balance, other)
    JOIN wallet w ON w.id = s.wallet JOIN account a ON a.id = w.account_id
    WHERE ${isOfOrganization ? "t.organization_id = $12 AND" : ""} a.path @> ARRAY[$1]
      AND ($2::text IS NULL OR t.currency = $2) AND ${isAsked} AND ${isAfter("s.received")}
    ORDER BY t.at DESC, t.seq DESC, s.received DESC LIMIT $9`;
}

/** SQL: what names usage in the ledger, its first event or its batch, is the provider's, and may be of another organization. */
const shownReference = "CASE WHEN e.actor_key_id = '' THEN '' ELSE e.reference END";

/** SQL: whether the reader may hear of the account. */
function isSeen(accountId: string): string {
  return `(${accountId} = $10 OR ($11::boolean AND EXISTS (
    SELECT FROM account seen WHERE seen.id = ${accountId} AND seen.path @> ARRAY[$10])))`;
}

interface EntryRow {
  readonly at: Date;
  readonly seq: string;
  readonly received: boolean;
  readonly id: string;
  readonly kind: TransferKind;
  readonly account_id: string;
  readonly currency: string;
  readonly amount: string;
  readonly balance: string;
  readonly reference: string;
  readonly reason: string;
  readonly refunds: string | null;
  readonly counterpart_id: string;
  readonly actor_key_id: string;
}

function entryOf(row: EntryRow): Entry {
  return {
    atMs: row.at.getTime(),
    seq: row.seq,
    isReceived: row.received,
    id: row.id,
    kind: row.kind,
    accountId: row.account_id,
    currency: row.currency,
    amount: micros(BigInt(row.amount)),
    balance: micros(BigInt(row.balance)),
    counterpartId: row.counterpart_id,
    reference: row.reference,
    reason: row.reason,
    refunds: row.refunds ?? "",
    actorKeyId: row.actor_key_id,
  };
}
