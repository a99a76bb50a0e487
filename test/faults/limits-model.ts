import type { Answer } from "../system/verifying.ts";

/** P2 as a model: which of the units that were admitted no bucket had. Times on one monotonic clock. */

/** A call and what it was to be charged. */
export interface Charged extends Answer {
  readonly meter: string;
  readonly units: number;
}

/** What a quota held from a time on: a limit that is set anew keeps what was used. */
export interface Held {
  readonly fromMs: number;
  readonly units: number;
}

export interface Rate {
  readonly units: number;
  readonly intervalMs: number;
  readonly burst: number;
}

/** What was lent before a limit was lowered may be spent until then, where its holder was not heard. */
const LEASE_MS = 60_000;

/**
 * The first call that a quota without windows cannot have had units for. Units of calls that were answered before it
 * was sent were surely spent by then; it was charged when at the latest it was answered. Undefined for none.
 */
export function overspent(calls: readonly Charged[], held: readonly Held[]): Charged | undefined {
  const valid = calls.filter(({ code }) => code === "VALID");
  const byAnswer = [...valid].sort((a, b) => a.receivedMs - b.receivedMs);
  let spent = 0;
  let answered = 0;
  for (const call of valid.sort((a, b) => a.sentMs - b.sentMs)) {
    for (; answered < byAnswer.length && byAnswer[answered]!.receivedMs <= call.sentMs; answered++) {
      spent += byAnswer[answered]!.units;
    }
    if (spent + call.units > mostHeld(held, call)) return call;
  }
  return undefined;
}

function mostHeld(held: readonly Held[], { sentMs, receivedMs }: Charged): number {
  const inForce = held.filter(
    ({ fromMs }, i) => fromMs <= receivedMs && (held[i + 1]?.fromMs ?? Infinity) >= sentMs - LEASE_MS,
  );
  return Math.max(...inForce.map(({ units }) => units));
}

/** Units of calls that surely were charged between two times. */
export function admittedWithin(calls: readonly Charged[], startMs: number, endMs: number): number {
  return admittedUnits(calls.filter(({ sentMs, receivedMs }) => sentMs >= startMs && receivedMs < endMs));
}

export function admittedUnits(calls: readonly Charged[]): number {
  return calls.reduce((sum, { code, units }) => sum + (code === "VALID" ? units : 0), 0);
}

/** Units that may have been charged though nobody heard of it. */
export function lostUnits(calls: readonly Charged[]): number {
  return calls.reduce((sum, { code, units }) => sum + (code === "LOST" ? units : 0), 0);
}

/**
 * By how many units the worst of all intervals exceeds `burst + rate × T`; 0 or less when none does. Each call was
 * charged between its sending and its answer, so those that were surely within an interval are counted against the
 * longest that it can have been.
 */
export function worstExcess(calls: readonly Charged[], { units, intervalMs, burst }: Rate): number {
  const valid = calls.filter(({ code }) => code === "VALID").sort((a, b) => a.receivedMs - b.receivedMs);
  let worst = Number.NEGATIVE_INFINITY;
  for (const { sentMs: startMs } of valid) {
    let within = 0;
    for (const { sentMs, receivedMs, units: each } of valid) {
      if (sentMs < startMs) continue;
      within += each;
      worst = Math.max(worst, within - (burst + ((receivedMs - startMs) * units) / intervalMs));
    }
  }
  return worst;
}
