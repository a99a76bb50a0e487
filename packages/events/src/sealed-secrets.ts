import type { SealedPlace, SealedRow } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";

/** What webhooks' deliveries are signed with; named as `secretContext` names them. */
export function webhookSecrets(manager: EntityManager): SealedPlace {
  const id = `('webhook:' || account_id || '/' || name) COLLATE "C"`;
  return {
    name: "webhook.sealed_secret",
    stale(start, after, limit) {
      return manager.query<SealedRow[]>(
        `SELECT ${id} AS id, ARRAY[sealed_secret] AS sealed FROM webhook
         WHERE NOT starts_with(sealed_secret, $1) AND ${id} > $2 ORDER BY ${id} LIMIT $3`,
        [start, after, limit],
      );
    },
    async replace({ id: context, sealed: [before] }, [after]) {
      await manager.query(`UPDATE webhook SET sealed_secret = $3 WHERE ${id} = $1 AND sealed_secret = $2`, [
        context,
        before,
        after,
      ]);
    },
  };
}
