import { wantFor } from "@gatehouse/buckets";
import type { Moment } from "@gatehouse/changefeed";
import type { Due } from "./charge-path.ts";
import type { Ask, Need, WalletNeed, Want } from "./lease-source.ts";
import type { LocalBucket } from "./local-bucket.ts";

/** A call that lacks units, or a refill in the background, which needs none. */
export interface PendingAsk {
  readonly nodeIds: readonly string[];
  readonly resource: string;
  readonly needs: readonly Need[];
  /** The buckets it draws on, where they are known. */
  readonly due: readonly Due[];
}

/** Seconds of demand that a lease is to last: long enough to refill behind it; a recall takes it back sooner. */
const TARGET_SECONDS = 5;
/** Of a wallet: so many calls like the one that asks. */
const WANT_FLOOR = 20;
const WANT_CAP = 1_000_000;

/**
 * What metering is asked for all of them. What is in hand counts towards every ask: those that it does not suffice for
 * ask again, and who is refused was refused with all of it counted. Only the first asks for more than it needs.
 */
export function asksOf(pending: readonly PendingAsk[], now: Moment): Ask[] {
  const asked = new Set<LocalBucket>();
  return pending.map(({ nodeIds, resource, needs, due }) => {
    const wants = due.map(({ bucket, units }): Want => {
      const limitId = bucket.id;
      const need = needs.length === 0 ? 0 : units;
      const held = bucket.left(now);
      if (need > 0 && held >= need) return { limitId, units: 0, held };
      const isFirst = !asked.has(bucket);
      asked.add(bucket);
      return { limitId, units: isFirst ? wanted(bucket, units, now) : Math.max(units, 1), held };
    });
    return { nodeIds, resource, needs, wants, walletNeeds: needs.length === 0 ? NONE : walletNeeds(due) };
  });
}

/** What an ask needs of a bucket. */
export function unitsOf({ needs, due }: PendingAsk, bucket: LocalBucket): number {
  const { limit } = bucket;
  if (limit.kind === "wallet") return due.find((each) => each.bucket === bucket)?.units ?? 1;
  return needs.find(({ meter }) => meter === limit.meter)?.units ?? 1;
}

const NONE: readonly WalletNeed[] = [];

function walletNeeds(due: readonly Due[]): readonly WalletNeed[] {
  const needs = due.flatMap(({ bucket: { limit }, units }) =>
    limit.kind === "wallet" && units > 0 ? [{ walletId: limit.id, micros: units }] : [],
  );
  return needs.length === 0 ? NONE : needs;
}

function wanted(bucket: LocalBucket, units: number, now: Moment): number {
  const seconds = Math.max((now.monotonicMs - bucket.grantedAtMs) / 1000, 0.01);
  const perSecond = bucket.grantedAtMs === 0 ? 0 : bucket.spentSinceGrant / seconds;
  const scale = bucket.limit.kind === "wallet" ? Math.max(units, 1) : 1;
  const [floor, cap] = [WANT_FLOOR * scale, WANT_CAP * scale];
  return Math.max(units, wantFor(perSecond, TARGET_SECONDS, floor, Math.min(cap, Number.MAX_SAFE_INTEGER)));
}
