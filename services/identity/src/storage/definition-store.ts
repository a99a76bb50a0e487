import type { Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { Definition, DefinitionKind } from "../domain/definitions/definition.ts";
import type { DefinitionReads, DefinitionWrites } from "../domain/store.ts";
import { definitionOf, definitionRow, definitionRows } from "./definition-row.ts";

/** Definitions, read through one connection or transaction. */
export class DefinitionReader implements DefinitionReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find<K extends DefinitionKind>(kind: K, accountId: string, name: string) {
    const row = await this.manager.findOneBy(definitionRows, { kind, account_id: accountId, name });
    return row === null ? undefined : definitionOf(row, kind);
  }

  async list<K extends DefinitionKind>(kind: K, accountId: string) {
    const rows = await this.manager.find(definitionRows, {
      where: { kind, account_id: accountId },
      order: { name: "ASC" },
    });
    return rows.map((row) => definitionOf(row, kind));
  }
}

/** Definitions in a change. Every write here puts on the change log what followers see of it. */
export class DefinitionWriter extends DefinitionReader implements DefinitionWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  async put<K extends DefinitionKind>(definition: Definition<K>): Promise<void> {
    await this.manager.upsert(definitionRows, definitionRow(definition), ["kind", "account_id", "name"]);
    await this.#tell(definition.kind, definition.accountId, definition.name);
  }

  async delete(kind: DefinitionKind, accountId: string, name: string): Promise<void> {
    await this.manager.delete(definitionRows, { kind, account_id: accountId, name });
    await this.#tell(kind, accountId, name);
  }

  async isInUse(kind: "plan" | "type", name: string): Promise<boolean> {
    const [row] = await this.manager.query<[{ used: boolean }]>(USES[kind], [name]);
    return row.used;
  }

  async #tell(kind: DefinitionKind, accountId: string, name: string): Promise<void> {
    if (kind === "api" || kind === "meter" || kind === "plan") this.#tx.changed(kind, name);
    if (!decidesCalls(kind)) return;
    this.#tx.changed("account", accountId);
    await this.manager.query(
      `UPDATE account SET rules = jsonb_build_object(
         'roles', (SELECT coalesce(jsonb_object_agg(name, body->'scopes'), '{}') FROM definition
                   WHERE kind = 'role' AND account_id = $1),
         'types', (SELECT coalesce(jsonb_object_agg(name, body->'scopeCeiling'), '{}') FROM definition
                   WHERE kind = 'type' AND account_id = $1),
         'terms', (SELECT coalesce(jsonb_agg(jsonb_build_object('document', name, 'version', body->'version',
                     'gates', body->'gates') ORDER BY name), '[]') FROM definition
                   WHERE kind = 'terms' AND account_id = $1))
       WHERE id = $1`,
      [accountId],
    );
  }
}

// The conditions are those of the indexes.
const USES = {
  plan: "SELECT EXISTS (SELECT FROM account WHERE plan = $1 AND organization_id = id) AS used",
  type: `SELECT EXISTS (SELECT FROM account WHERE type = $1 AND type <> '')
           OR EXISTS (SELECT FROM account WHERE enabled_types @> ARRAY[$1] AND enabled_types <> '{}') AS used`,
};

/** The kinds that reach followers with their account. */
function decidesCalls(kind: DefinitionKind): boolean {
  return kind === "role" || kind === "type" || kind === "terms";
}
