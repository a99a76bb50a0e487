import type { JsonValue } from "@bufbuild/protobuf";
import type { AccountNode, KeyView } from "@gatehouse/access";
import { accountOfJson, keyOfJson } from "@gatehouse/access/wire";
import type { DataSource } from "typeorm";
import type { AccountName, StoredMirror } from "../domain/mirror.ts";
import { nameIn } from "./mirror-row.ts";

/** SQL: of an account `a`, itself and its ancestors, root last. */
export const chainOf = `ARRAY(SELECT c.node FROM unnest(a.path) WITH ORDINALITY AS p(id, n)
  JOIN account c USING (id) ORDER BY n)`;

/** Reads the mirror of identity. Every answer is of one statement: a key with a chain of another moment could pass. */
export class PostgresMirror implements StoredMirror {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  findKey(keyId: string): Promise<KeyView | undefined> {
    return this.#find("k.id = $1", keyId);
  }

  findImported(hash: string): Promise<KeyView | undefined> {
    return this.#find("k.hashes @> ARRAY[$1]", hash);
  }

  async importPrefixes(): Promise<readonly string[]> {
    const [row] = await this.#dataSource.query<{ node: JsonValue }[]>(
      "SELECT node FROM account WHERE parent_id IS NULL",
    );
    return (row && accountOfJson(row.node).providerRules?.importPrefixes) ?? [];
  }

  async #find(where: string, value: string): Promise<KeyView | undefined> {
    const [row] = await this.#dataSource.query<
      { key: JsonValue; parent: JsonValue | null; chain: JsonValue[] }[]
    >(
      `SELECT k.node AS key, p.node AS parent, ${chainOf} AS chain
       FROM key k JOIN account a ON a.id = k.account_id LEFT JOIN key p ON p.id = k.parent_key_id
       WHERE ${where} LIMIT 1`,
      [value],
    );
    if (row === undefined) return undefined;
    const parent = row.parent === null ? undefined : keyOfJson(row.parent);
    return { key: keyOfJson(row.key), parent, chain: row.chain.map(accountOfJson) };
  }

  async findChain(name: AccountName): Promise<readonly AccountNode[] | undefined> {
    const { where, parameters } = condition(name);
    const [row] = await this.#dataSource.query<{ chain: JsonValue[] }[]>(
      `SELECT ${chainOf} AS chain FROM account a WHERE ${where} LIMIT 1`,
      parameters,
    );
    return row?.chain.map(accountOfJson);
  }

  async hasMeter(name: string): Promise<boolean> {
    const rows = await this.#dataSource.query<unknown[]>("SELECT FROM meter WHERE name = $1", [name]);
    return rows.length > 0;
  }

  async hasPlan(name: string): Promise<boolean> {
    const rows = await this.#dataSource.query<unknown[]>("SELECT FROM plan WHERE name = $1", [name]);
    return rows.length > 0;
  }
}

function condition(name: AccountName): { where: string; parameters: string[] } {
  switch (name.by) {
    case "id":
      return { where: "a.id = $1", parameters: [name.id] };
    case "slug":
      // false sorts first: the organization before a subaccount that has the same slug, as in identity.
      return {
        where: "a.names @> ARRAY[$1] ORDER BY a.id <> a.organization_id",
        parameters: [nameIn(name.organizationId, name.slug)],
      };
    case "path":
      if (name.subaccount === undefined) {
        // Nothing but the root has no parent: it comes before an organization that has its slug, as in identity.
        return {
          where: "a.names @> ARRAY[$1] ORDER BY a.parent_id IS NOT NULL",
          parameters: [nameIn("", name.organization)],
        };
      }
      return {
        where: `a.id <> a.organization_id AND a.names @> ARRAY[
          (SELECT o.id FROM account o WHERE o.names @> ARRAY[$1] AND o.parent_id IS NOT NULL LIMIT 1) || $2]`,
        parameters: [nameIn("", name.organization), nameIn("", name.subaccount)],
      };
  }
}
