import { EntitySchema } from "typeorm";
import type { Definition, DefinitionBodies, DefinitionKind } from "../domain/definitions/definition.ts";

/** A row of `definition`. */
export interface DefinitionRow {
  kind: DefinitionKind;
  account_id: string;
  name: string;
  id: string;
  body: object;
  created_at: Date;
  updated_at: Date;
}

export const definitionRows = new EntitySchema<DefinitionRow>({
  name: "definition",
  columns: {
    kind: { type: "text", primary: true },
    account_id: { type: "text", primary: true },
    name: { type: "text", primary: true },
    id: { type: "text" },
    body: { type: "jsonb" },
    created_at: { type: "timestamptz" },
    updated_at: { type: "timestamptz" },
  },
});

/** What bodies have by now, for those that were written before. */
const ADDED: { readonly [K in DefinitionKind]?: Partial<DefinitionBodies[K]> } = {
  plan: { defaultLimits: [] },
};

export function definitionOf<K extends DefinitionKind>(row: DefinitionRow, kind: K): Definition<K> {
  return {
    kind,
    accountId: row.account_id,
    name: row.name,
    id: row.id,
    body: { ...ADDED[kind], ...row.body } as DefinitionBodies[K],
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function definitionRow<K extends DefinitionKind>(definition: Definition<K>): DefinitionRow {
  return {
    kind: definition.kind,
    account_id: definition.accountId,
    name: definition.name,
    id: definition.id,
    body: definition.body,
    created_at: definition.createdAt,
    updated_at: definition.updatedAt,
  };
}
