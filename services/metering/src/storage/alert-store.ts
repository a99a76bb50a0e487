import type { ChangeLog } from "@gatehouse/changefeed";
import { readDeliveries, redeliver } from "@gatehouse/events";
import { auditedUrl, type Delivery, type DeliveryStatus } from "@gatehouse/events/webhook";
import type { DataSource, EntityManager } from "typeorm";
import type { Actor } from "../domain/actor.ts";
import type { Alert } from "../domain/alert.ts";
import type { AlertStore, NewAlert } from "../domain/alert-store.ts";
import { type AlertRow, alertColumns, alertOf, termColumns } from "./alert-row.ts";
import { type AuditEvent, writeAudit } from "./audit.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";

export class PostgresAlertStore implements AlertStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  insert(wanted: NewAlert, most: number, actor: Actor) {
    return this.#transact(async (manager) => {
      const { id, node, accountId, name } = wanted;
      // One at a time in an account: they are counted, and told apart by name.
      await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('alerts ' || $1, 0))", [accountId]);
      const existing =
        name === "" ? undefined : await findOne(manager, "a.node_id = $1 AND a.name = $2", [node.id, name]);
      if (existing !== undefined) return { alert: existing, isNew: false };
      const [{ count }] = await manager.query<[{ count: string }]>(
        "SELECT count(*) FROM alert WHERE account_id = $1",
        [accountId],
      );
      if (Number(count) >= most) return undefined;
      const createdAt = instant(await readNowMs(manager, this.#offsetMs));
      const [row] = await manager.query<[AlertRow]>(
        `INSERT INTO alert AS a (id, node_kind, node_id, account_id, created_at, name, subject, limit_id, meter, currency,
           window_kind, time_zone, descendants, amount, share_millionths, direction, webhook_url, made_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) RETURNING ${alertColumns}`,
        [id, node.kind, node.id, accountId, createdAt, ...termColumns(wanted), actor.accountId],
      );
      const alert = alertOf(row);
      await putWebhook(manager, wanted);
      await lookAt(manager, id);
      await writeAudit(manager, [{ ...eventOf(alert, actor, "gatehouse.alerts.create"), before: undefined }]);
      return { alert, isNew: true };
    });
  }

  find(alertId: string): Promise<Alert | undefined> {
    return findOne(this.#dataSource.manager, "a.id = $1", [alertId]);
  }

  async list(nodeId: string, afterId: string, count: number): Promise<Alert[]> {
    const rows = await this.#dataSource.query<AlertRow[]>(
      `SELECT ${alertColumns} FROM alert a WHERE a.node_id = $1 AND a.id > $2 ORDER BY a.id LIMIT $3`,
      [nodeId, afterId, count],
    );
    return rows.map(alertOf);
  }

  delete(alert: Alert, actor: Actor): Promise<boolean> {
    const { id, accountId } = alert;
    return this.#transact(async (manager) => {
      const [, deleted] = await manager.query<[unknown, number]>("DELETE FROM alert WHERE id = $1", [id]);
      if (deleted === 0) return false;
      await manager.query("DELETE FROM alert_window WHERE alert_id = $1", [id]);
      // What was on its way goes to nobody, and is swept; so is what is still said to have moved.
      await manager.query("DELETE FROM webhook WHERE account_id = $1 AND name = $2", [accountId, id]);
      const event = eventOf(alert, actor, "gatehouse.alerts.delete");
      await writeAudit(manager, [{ ...event, before: event.after, after: undefined }]);
      return true;
    });
  }

  deliveries(
    { accountId, id: name }: Alert,
    status: DeliveryStatus | undefined,
    after: string,
    limit: number,
  ): Promise<Delivery[]> {
    return readDeliveries(this.#dataSource.manager, { accountId, name }, status, { after, limit });
  }

  redeliver(alert: Alert, eventIds: readonly string[], most: number, actor: Actor): Promise<number> {
    const { accountId, id: name } = alert;
    return this.#transact(async (manager) => {
      const at = new Date(Date.now() + this.#offsetMs());
      const redelivered = await redeliver(manager, { accountId, name }, eventIds, at, most);
      if (redelivered > 0) {
        const event = eventOf(alert, actor, "gatehouse.alerts.create");
        await writeAudit(manager, [{ ...event, before: undefined, after: { redelivered } }]);
      }
      return redelivered;
    });
  }

  // Changes nothing that followers hear of; but whoever looks at an alert holds its row, and may take longer than a
  // statement waits for it.
  async #transact<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return (await this.#log.commit(({ manager }) => work(manager))).value;
  }
}

async function findOne(
  manager: EntityManager,
  condition: string,
  parameters: readonly unknown[],
): Promise<Alert | undefined> {
  const rows = await manager.query<AlertRow[]>(`SELECT ${alertColumns} FROM alert a WHERE ${condition}`, [
    ...parameters,
  ]);
  return rows.map(alertOf)[0];
}

async function putWebhook(manager: EntityManager, { id, accountId, webhookUrl, sealedSecret }: NewAlert) {
  if (webhookUrl === "") return;
  await manager.query("INSERT INTO webhook (account_id, name, url, sealed_secret) VALUES ($1, $2, $3, $4)", [
    accountId,
    id,
    webhookUrl,
    sealedSecret,
  ]);
}

/**
 * Has the alert looked at now, for what is so already; and once more: a transaction that moved something and did not see
 * the alert yet has ended by then, for those that write usage or money last seconds at most.
 */
async function lookAt(manager: EntityManager, alertId: string): Promise<void> {
  await manager.query(
    "INSERT INTO alert_due (alert_id, not_before) VALUES ($1, '-infinity'), ($1, clock_timestamp() + interval '1 minute')",
    [alertId],
  );
}

function eventOf(alert: Alert, actor: Actor, action: AuditEvent["action"]) {
  const { webhookUrl } = alert;
  const after = { ...alert, webhookUrl: webhookUrl === "" ? "" : auditedUrl(webhookUrl) };
  return { actor, action, targetId: alert.id, concerns: alert.accountId, after };
}
