/**
 * The refill that a full bucket let pass, kept so that a spend reported late can still claim it.
 *
 * Refill is counted in parts: one unit is `intervalMs` parts and every millisecond brings `units` parts, so a
 * rate of any two integers is exact. Products are BigInt because parts of a big, slow limit pass 2^53
 * (10^9 a day is 8.64 × 10^16).
 */

/** A stretch of time in which the bucket was full and its refill was lost. */
export interface IdleSpan {
  readonly fromMs: number;
  /** After `fromMs`. */
  readonly toMs: number;
  /** Parts of the first millisecond that are not idle: 0 ≤ usedParts < units per interval. */
  readonly usedParts: number;
}

/**
 * The most spans a bucket keeps; the oldest go first, which only loses refill and never invents any. Full
 * stretches are split by spends in them, and eight holders reporting out of order was the most that seemed
 * worth carrying in a row that every lease rewrites.
 */
export const MAX_IDLE_SPANS = 8;

/** `spans` and the time from `deficitParts` of refill after `fromMs` (when the bucket was full) until `toMs`. */
export function addIdle(
  spans: readonly IdleSpan[],
  unitsPerInterval: number,
  deficitParts: bigint,
  fromMs: number,
  toMs: number,
): readonly IdleSpan[] {
  const last = spans.at(-1);
  if (deficitParts === 0n && last?.toMs === fromMs) return [...spans.slice(0, -1), { ...last, toMs }];
  const span = spanAfter(fromMs, toMs, deficitParts, BigInt(unitsPerInterval));
  return span === undefined ? spans : bounded([...spans, span]);
}

/**
 * Takes up to `wantedParts` of refill from the idle time after `sinceMs`, the earliest first. Work that arrives
 * at `sinceMs` in a queue served at a constant rate is done in the queue's idle time after it, whatever else is
 * queued; so this is exact in any order of reports, as long as no span was dropped.
 */
export function claimIdle(
  spans: readonly IdleSpan[],
  unitsPerInterval: number,
  sinceMs: number,
  wantedParts: bigint,
): { readonly claimedParts: bigint; readonly spans: readonly IdleSpan[] } {
  const rate = BigInt(unitsPerInterval);
  const left: IdleSpan[] = [];
  let claimedParts = 0n;
  for (const span of spans) {
    if (span.toMs <= sinceMs || claimedParts === wantedParts) {
      left.push(span);
      continue;
    }
    if (span.fromMs < sinceMs) left.push({ ...span, toMs: sinceMs });
    const fromMs = Math.max(span.fromMs, sinceMs);
    const used = span.fromMs < sinceMs ? 0n : BigInt(span.usedParts);
    const held = BigInt(span.toMs - fromMs) * rate - used;
    const wanted = wantedParts - claimedParts;
    const claimed = held < wanted ? held : wanted;
    claimedParts += claimed;
    const rest = spanAfter(fromMs, span.toMs, used + claimed, rate);
    if (rest !== undefined) left.push(rest);
  }
  return { claimedParts, spans: bounded(left) };
}

function spanAfter(fromMs: number, toMs: number, parts: bigint, rate: bigint): IdleSpan | undefined {
  const startMs = fromMs + Number(parts / rate);
  return startMs < toMs ? { fromMs: startMs, toMs, usedParts: Number(parts % rate) } : undefined;
}

function bounded(spans: readonly IdleSpan[]): readonly IdleSpan[] {
  return spans.length > MAX_IDLE_SPANS ? spans.slice(-MAX_IDLE_SPANS) : spans;
}
