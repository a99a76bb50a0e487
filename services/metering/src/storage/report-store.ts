import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type { DrawnBucket } from "../domain/drawn-bucket.ts";
import { type Limit, REQUESTS } from "../domain/limit.ts";
import type { AccountName } from "../domain/mirror.ts";
import type { Pricing } from "../domain/pricing.ts";
import type { BucketPlace, Claim, ReportStore, ReportTx } from "../domain/report-store.ts";
import type { MinuteUsage } from "../domain/usage.ts";
import type { EventNode, EventWorld } from "../domain/usage-event.ts";
import { asFailure } from "./as-failure.ts";
import { type ClockOffset, nowMsExpression } from "./clock.ts";
import { drawQuotas } from "./draw-quotas.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { nameIn } from "./mirror-row.ts";
import { floorOf } from "./partitions.ts";
import { PostgresPricing } from "./pricing.ts";
import { quotaBucketsAt } from "./quota-windows.ts";
import { recallLeases } from "./recall.ts";
import { bookRows } from "./usage-rows.ts";

export class PostgresReportStore implements ReportStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  async transact<T>(work: (tx: ReportTx) => Promise<T>): Promise<T> {
    const { value } = await asFailure(
      this.#log.commit((tx) => work(new PostgresReportTx(tx, this.#offsetMs))),
    );
    return value;
  }

  // Where keys and accounts are never changes, so these may be of different moments.
  async lookUp(names: Parameters<ReportStore["lookUp"]>[0]): Promise<EventWorld> {
    const [keys, accounts, [row]] = await Promise.all([
      this.#keys([...names.keyIds]),
      this.#accounts([...names.accounts]),
      this.#dataSource.query<[{ now_ms: string; remembered_from_ms: string; meters: string[] }]>(
        `SELECT ${nowMsExpression} AS now_ms,
           extract(epoch FROM ${floorOf("reported_event")}) * 1000 AS remembered_from_ms,
           ARRAY(SELECT name FROM meter WHERE name = ANY($1)) AS meters`,
        [[...names.meters]],
      ),
    ]);
    const meters = new Set([REQUESTS, ...row.meters]);
    const nowMs = Number(row.now_ms) + this.#offsetMs();
    return { keys, accounts, meters, rememberedFromMs: Number(row.remembered_from_ms), nowMs };
  }

  async #keys(keyIds: readonly string[]): Promise<ReadonlyMap<string, EventNode>> {
    if (keyIds.length === 0) return new Map();
    // An account's path once, not with each of its keys: to read arrays is what takes longest here.
    const rows = await this.#dataSource.query<
      { id: string; account_id: string; parent_key_id: string | null; path: string[] | null }[]
    >(
      `SELECT k.id, k.account_id, k.parent_key_id,
         CASE WHEN row_number() OVER (PARTITION BY k.account_id) = 1 THEN a.path END AS path
       FROM key k JOIN account a ON a.id = k.account_id WHERE k.id = ANY($1)`,
      [keyIds],
    );
    const paths = new Map(
      rows.flatMap(({ account_id, path }) => (path === null ? [] : [[account_id, path]])),
    );
    return new Map(
      rows.map(({ id, account_id: accountId, parent_key_id: parent }) => {
        const nodeIds = [id, ...(parent === null ? [] : [parent]), ...paths.get(accountId)!];
        return [id, { keyId: id, accountId, nodeIds }];
      }),
    );
  }

  async #accounts(names: readonly [string, AccountName][]): Promise<ReadonlyMap<string, EventNode>> {
    if (names.length === 0) return new Map();
    const ids = names.map(([, name]) => (name.by === "id" ? name.id : null));
    const organizations = names.map(([, name]) =>
      name.by === "path" ? nameIn("", name.organization) : null,
    );
    const subaccounts = names.map(([, name]) =>
      name.by === "path" && name.subaccount !== undefined ? nameIn("", name.subaccount) : null,
    );
    // As the mirror finds one: the root comes before an organization that has its slug.
    const rows = await this.#dataSource.query<{ text: string; id: string; path: string[] }[]>(
      `WITH asked AS (
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n(text, id, organization, subaccount))
       SELECT n.text, a.id, a.path FROM asked n JOIN account a ON a.id = n.id
       UNION ALL
       SELECT n.text, a.id, a.path FROM asked n CROSS JOIN LATERAL (
         SELECT id, path FROM account WHERE names @> ARRAY[n.organization]
         ORDER BY parent_id IS NOT NULL LIMIT 1) AS a
       WHERE n.organization IS NOT NULL AND n.subaccount IS NULL
       UNION ALL
       SELECT n.text, a.id, a.path FROM asked n CROSS JOIN LATERAL (
         SELECT id FROM account WHERE names @> ARRAY[n.organization] AND parent_id IS NOT NULL LIMIT 1) AS o
       CROSS JOIN LATERAL (
         SELECT id, path FROM account WHERE names @> ARRAY[o.id || n.subaccount] AND id <> organization_id
         LIMIT 1) AS a`,
      [names.map(([text]) => text), ids, organizations, subaccounts],
    );
    return new Map(rows.map(({ text, id, path }) => [text, { keyId: "", accountId: id, nodeIds: path }]));
  }
}

class PostgresReportTx implements ReportTx {
  readonly pricing: Pricing;
  readonly #manager: EntityManager;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.pricing = new PostgresPricing(tx, offsetMs);
    this.#manager = tx.manager;
  }

  async claim(claims: readonly Claim[]): Promise<ReadonlyMap<Claim, Buffer>> {
    const columns = (of: readonly Claim[]) => [
      of.map(({ day }) => day),
      of.map(({ source }) => source),
      of.map(({ event }) => event.id),
    ];
    // In order, so that two reports of the same events cannot wait for each other.
    const lost = await this.#manager.query<{ n: string }[]>(
      `WITH given AS MATERIALIZED (
         SELECT date '1970-01-01' + day AS day, source, id, content, n
         FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS g(day, source, id, content, n)),
       noted AS (
         INSERT INTO reported_event (day, source, id, content)
         SELECT day, source, id, content FROM given ORDER BY day, source COLLATE "C", id COLLATE "C"
         ON CONFLICT DO NOTHING RETURNING day, source, id)
       SELECT n FROM given g
       WHERE NOT EXISTS (SELECT FROM noted o WHERE o.day = g.day AND o.source = g.source AND o.id = g.id)`,
      [...columns(claims), claims.map(({ event }) => event.content)],
    );
    if (lost.length === 0) return new Map();
    const others = lost.map(({ n }) => claims[Number(n) - 1]!);
    // A statement of its own: it sees what the one before waited for.
    const rows = await this.#manager.query<{ n: string; content: Buffer }[]>(
      `SELECT g.n, e.content
       FROM unnest($1::int[], $2::text[], $3::text[]) WITH ORDINALITY AS g(day, source, id, n)
       JOIN reported_event e ON e.day = date '1970-01-01' + g.day AND e.source = g.source AND e.id = g.id`,
      columns(others),
    );
    return new Map(rows.map(({ n, content }) => [others[Number(n) - 1]!, content]));
  }

  async limitsOn(nodeIds: readonly string[]): Promise<Limit[]> {
    const rows = await this.#manager.query<LimitRow[]>(
      `SELECT ${limitColumns} FROM node_limit l WHERE l.node_id = ANY($1)`,
      [nodeIds],
    );
    return rows.map(limitOf);
  }

  bucketsAt(places: readonly BucketPlace[]): Promise<readonly string[]> {
    return quotaBucketsAt(this.#manager, places);
  }

  draw(units: ReadonlyMap<string, number>): Promise<DrawnBucket[]> {
    return drawQuotas(this.#manager, units);
  }

  async bookUsage(usage: readonly MinuteUsage[]): Promise<void> {
    await bookRows(this.#manager, usage);
  }

  recall(limitIds: readonly string[]): Promise<void> {
    return recallLeases(this.#manager, limitIds);
  }
}
