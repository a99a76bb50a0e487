import type { AccountNode, KeyView } from "@gatehouse/access";
import type { DataSource } from "typeorm";
import type { AccountName, Mirror } from "../domain/mirror.ts";
import { type AccountRow, accountOf, type KeyRow, keyOf } from "./mirror-row.ts";

/** Of an account `a`, itself and its ancestors, root last. */
const chainOf = `ARRAY(SELECT to_jsonb(c) - 'path' FROM unnest(a.path) WITH ORDINALITY AS p(id, n)
  JOIN account c USING (id) ORDER BY n)`;

/** Reads the mirror of identity. Every answer is of one statement: a key with a chain of another moment could pass. */
export class PostgresMirror implements Mirror {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  async findKey(keyId: string): Promise<KeyView | undefined> {
    const [row] = await this.#dataSource.query<{ key: KeyRow; parent: KeyRow | null; chain: AccountRow[] }[]>(
      `SELECT to_jsonb(k) AS key, to_jsonb(p) AS parent, ${chainOf} AS chain
       FROM key k JOIN account a ON a.id = k.account_id LEFT JOIN key p ON p.id = k.parent_key_id
       WHERE k.id = $1`,
      [keyId],
    );
    if (row === undefined) return undefined;
    const parent = row.parent === null ? undefined : keyOf(row.parent);
    return { key: keyOf(row.key), parent, chain: row.chain.map(accountOf) };
  }

  async findChain(name: AccountName): Promise<readonly AccountNode[] | undefined> {
    const { where, parameters } = condition(name);
    const [row] = await this.#dataSource.query<{ chain: AccountRow[] }[]>(
      `SELECT ${chainOf} AS chain FROM account a WHERE ${where} LIMIT 1`,
      parameters,
    );
    return row?.chain.map(accountOf);
  }

  async hasMeter(name: string): Promise<boolean> {
    const rows = await this.#dataSource.query<unknown[]>("SELECT FROM meter WHERE name = $1", [name]);
    return rows.length > 0;
  }
}

function condition(name: AccountName): { where: string; parameters: string[] } {
  switch (name.by) {
    case "id":
      return { where: "a.id = $1", parameters: [name.id] };
    case "slug":
      // false sorts first: a subaccount before the organization that has the same slug.
      return {
        where: "a.organization_id = $1 AND a.slug = $2 ORDER BY a.id = a.organization_id",
        parameters: [name.organizationId, name.slug],
      };
    case "path":
      if (name.subaccount === undefined) {
        // Nothing but the root has no parent; an organization may have its slug, and comes first, as in identity.
        return {
          where: `a.slug = $1 AND (a.id = a.organization_id OR a.parent_id IS NULL)
            ORDER BY a.parent_id IS NULL`,
          parameters: [name.organization],
        };
      }
      return {
        where: `a.slug = $2 AND a.id <> a.organization_id AND a.organization_id =
          (SELECT o.id FROM account o WHERE o.slug = $1 AND o.id = o.organization_id LIMIT 1)`,
        parameters: [name.organization, name.subaccount],
      };
  }
}
