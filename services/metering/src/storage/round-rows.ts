import type { Terms } from "../domain/lease.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { type MoneyRow, moneyByNode } from "./wallet-leases.ts";

/** SQL: the rows of a query, as one value. */
export function rowsOf(query: string): string {
  return `(SELECT coalesce(json_agg(r), '[]'::json) FROM (${query}) AS r)`;
}

/** SQL: the limits on nodes and those with the ids. */
export function limitsOf(nodes: string, ids: string): string {
  return rowsOf(
    `SELECT ${limitColumns} FROM node_limit l WHERE l.node_id = ANY(${nodes}) OR l.id = ANY(${ids}) ORDER BY l.id`,
  );
}

/** SQL: which of the holders' epochs have ended. */
export function endedAmong(holders: string): string {
  return `ARRAY(SELECT holder FROM ended_holder WHERE holder = ANY(${holders}))`;
}

/** What a statement says of terms, in columns of these names. */
export interface TermsRow {
  readonly incarnation: string;
  readonly revision: string;
  readonly limits: readonly JsonLimit[];
  readonly money: MoneyRow | null;
}

type JsonLimit = Omit<LimitRow, "created_at" | "updated_at"> & Record<"created_at" | "updated_at", string>;

export function termsOf({ incarnation, revision, limits, money }: TermsRow): Terms {
  return {
    position: { incarnation, revision: Number(revision) },
    limits: limits.map((row) => {
      const [created_at, updated_at] = [new Date(row.created_at), new Date(row.updated_at)];
      return limitOf({ ...row, created_at, updated_at });
    }),
    money: moneyByNode(money),
  };
}
