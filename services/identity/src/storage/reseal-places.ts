import { webhookSecrets } from "@gatehouse/events";
import type { SealedPlace, SealedRow } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import type { SigningRow } from "./key-row.ts";

/** Every place of the database where sealed secrets are kept. Who seals something new adds its place here. */
export function sealedPlaces(manager: EntityManager): SealedPlace[] {
  return [
    signingSecrets(manager),
    columnOf(manager, "account", "upstream_credential"),
    webhookSecrets(manager),
  ];
}

/** A text column, empty where there is no secret; sealed for the row's id. */
function columnOf(manager: EntityManager, table: string, column: string): SealedPlace {
  return {
    name: `${table}.${column}`,
    async stale(start, after, limit) {
      const rows = await manager.query<{ id: string; sealed: string }[]>(
        `SELECT id, ${column} AS sealed FROM ${table}
         WHERE ${column} <> '' AND NOT starts_with(${column}, $1) AND id > $2 ORDER BY id LIMIT $3`,
        [start, after, limit],
      );
      return rows.map(({ id, sealed }) => ({ id, sealed: [sealed] }));
    },
    async replace({ id, sealed: [before] }, [after]) {
      await manager.query(`UPDATE ${table} SET ${column} = $3 WHERE id = $1 AND ${column} = $2`, [
        id,
        before,
        after,
      ]);
    },
  };
}

/** HMAC secrets of signing keys, those in their grace too; public keys are not sealed. */
function signingSecrets(manager: EntityManager): SealedPlace {
  return {
    name: "key.signing",
    async stale(start, after, limit) {
      const rows = await manager.query<{ id: string; signing: SigningRow }[]>(
        `SELECT id, signing FROM key
         WHERE signing IS NOT NULL AND signing ->> 'algorithm' <> 'ED25519' AND id > $2
           AND EXISTS (SELECT FROM jsonb_array_elements(signing -> 'keys') AS e(k)
                       WHERE NOT starts_with(k ->> 'value', $1))
         ORDER BY id LIMIT $3`,
        [start, after, limit],
      );
      return rows.map(({ id, signing }) => ({
        id,
        sealed: signing.keys.map(({ value }) => value),
      }));
    },
    async replace({ id, sealed: before }: SealedRow, after) {
      // Each value where it stood, whatever else the column says; not where a rotation put others there meanwhile.
      await manager.query(
        `UPDATE key SET signing = jsonb_set(signing, '{keys}', (
           SELECT jsonb_agg(k || jsonb_build_object('value', ($3::text[])[n]) ORDER BY n)
           FROM jsonb_array_elements(signing -> 'keys') WITH ORDINALITY AS e(k, n)))
         WHERE id = $1 AND $2::text[] = ARRAY(
           SELECT k ->> 'value' FROM jsonb_array_elements(signing -> 'keys') WITH ORDINALITY AS e(k, n) ORDER BY n)`,
        [id, before, after],
      );
    },
  };
}
