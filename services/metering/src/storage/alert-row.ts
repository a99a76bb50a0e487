import type { WindowKind } from "@gatehouse/buckets";
import type { Alert, AlertDirection, AlertSubject, AlertTerms } from "../domain/alert.ts";
import type { NodeRef } from "../domain/limit.ts";

/** A row of alert, as `alertColumns` reads it. */
export interface AlertRow {
  readonly id: string;
  readonly node_kind: NodeRef["kind"];
  readonly node_id: string;
  readonly account_id: string;
  readonly name: string;
  readonly subject: AlertSubject["kind"];
  readonly limit_id: string | null;
  readonly meter: string | null;
  readonly currency: string | null;
  readonly window_kind: WindowKind | null;
  readonly time_zone: string | null;
  readonly descendants: boolean;
  readonly amount: string | null;
  readonly share_millionths: string | null;
  readonly direction: AlertDirection;
  readonly webhook_url: string;
  readonly created_at: Date;
  readonly told_at: Date | null;
}

export const alertColumns = `a.id, a.node_kind, a.node_id, a.account_id, a.name, a.subject, a.limit_id, a.meter,
  a.currency, a.window_kind, a.time_zone, a.descendants, a.amount, a.share_millionths, a.direction, a.webhook_url,
  a.created_at, a.told_at`;

export function alertOf(row: AlertRow): Alert {
  return {
    id: row.id,
    node: { kind: row.node_kind, id: row.node_id },
    accountId: row.account_id,
    name: row.name,
    subject: subjectOf(row),
    direction: row.direction,
    webhookUrl: row.webhook_url,
    createdAtMs: row.created_at.getTime(),
    toldAtMs: row.told_at?.getTime(),
  };
}

/**
 * The terms in the order of the columns name, subject, limit_id, meter, currency, window_kind, time_zone, descendants,
 * amount, share_millionths, direction, webhook_url.
 */
export function termColumns({ name, subject, direction, webhookUrl }: AlertTerms): unknown[] {
  const { kind } = subject;
  const told = [direction, webhookUrl];
  switch (kind) {
    case "LIMIT": {
      const { threshold, limitId } = subject;
      const [amount, share] =
        "amount" in threshold ? [threshold.amount, null] : [null, threshold.shareMillionths];
      return [name, kind, limitId, null, null, null, null, false, amount, share, ...told];
    }
    case "BALANCE":
      return [name, kind, null, null, subject.currency, null, null, false, subject.amount, null, ...told];
    default: {
      const { window, timeZone, descendants, amount } = subject;
      const [meter, currency] = kind === "USAGE" ? [subject.meter, null] : [null, subject.currency];
      return [name, kind, null, meter, currency, window, timeZone, descendants, amount, null, ...told];
    }
  }
}

function subjectOf(row: AlertRow): AlertSubject {
  const { subject: kind } = row;
  const amount = Number(row.amount);
  if (kind === "LIMIT") {
    const threshold =
      row.share_millionths === null ? { amount } : { shareMillionths: Number(row.share_millionths) };
    return { kind, limitId: row.limit_id!, threshold };
  }
  if (kind === "BALANCE") return { kind, currency: row.currency!, amount };
  const window = row.window_kind as "HOUR" | "DAY" | "WEEK" | "MONTH";
  const windowed = { window, timeZone: row.time_zone!, descendants: row.descendants, amount };
  return kind === "USAGE"
    ? { kind, meter: row.meter!, ...windowed }
    : { kind, currency: row.currency!, ...windowed };
}
