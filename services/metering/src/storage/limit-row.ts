import type { WindowKind } from "@gatehouse/buckets";
import type { Enforcement, Limit, LimitTerms, NodeRef, ReservedShare } from "../domain/limit.ts";

/** A row of node_limit, as `limitColumns` reads it. */
export interface LimitRow {
  readonly id: string;
  readonly node_kind: NodeRef["kind"];
  readonly node_id: string;
  readonly meter: string;
  readonly resource: string;
  readonly kind: "RATE" | "QUOTA";
  readonly units: string;
  readonly interval_ms: string | null;
  readonly burst: string | null;
  readonly window_kind: WindowKind | null;
  readonly time_zone: string | null;
  readonly anchor_ms: string | null;
  readonly enforcement: Enforcement;
  readonly source: Limit["source"];
  readonly reserved_share: number | null;
  readonly reserved_of: string | null;
  readonly shares: ReservedShare[] | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const limitColumns = `l.id, l.node_kind, l.node_id, l.meter, l.resource, l.kind, l.units, l.interval_ms,
  l.burst, l.window_kind, l.time_zone, l.anchor_ms, l.enforcement, l.source, l.created_at, l.updated_at,
  l.reserved_share, l.reserved_of, CASE WHEN l.kind = 'QUOTA' AND l.enforcement = 'ENFORCE' THEN
    (SELECT jsonb_agg(jsonb_build_object('nodeId', s.node_id, 'share', s.reserved_share) ORDER BY s.id)
     FROM node_limit s WHERE s.reserved_of = l.id) END AS shares`;

export function limitOf(row: LimitRow): Limit {
  return {
    id: row.id,
    node: { kind: row.node_kind, id: row.node_id },
    source: row.source,
    ...(row.reserved_of !== null && { reserved: { share: row.reserved_share!, of: row.reserved_of } }),
    ...(row.shares !== null && { shares: row.shares }),
    meter: row.meter,
    resource: row.resource,
    allowance: allowanceOf(row),
    enforcement: row.enforcement,
    createdAtMs: row.created_at.getTime(),
    updatedAtMs: row.updated_at.getTime(),
  };
}

/** What makes a limit the same limit, in the order of the columns of `node_limit_identity` after the node. */
export function identityOf({ meter, resource, allowance }: LimitTerms): unknown[] {
  return allowance.kind === "RATE"
    ? [meter, resource, "RATE", allowance.intervalMs, null]
    : [meter, resource, "QUOTA", null, allowance.window];
}

/** What another SetLimit changes: units, burst, time_zone, anchor_ms and enforcement, in this order. */
export function changeableOf({ allowance, enforcement }: LimitTerms): unknown[] {
  return allowance.kind === "RATE"
    ? [allowance.units, allowance.burst, null, null, enforcement]
    : [allowance.units, null, allowance.timeZone, allowance.anchorMs ?? null, enforcement];
}

function allowanceOf(row: LimitRow): LimitTerms["allowance"] {
  const units = Number(row.units);
  if (row.kind === "RATE") {
    return { kind: "RATE", units, intervalMs: Number(row.interval_ms), burst: Number(row.burst) };
  }
  return {
    kind: "QUOTA",
    units,
    window: row.window_kind!,
    timeZone: row.time_zone!,
    anchorMs: row.anchor_ms === null ? undefined : Number(row.anchor_ms),
  };
}
