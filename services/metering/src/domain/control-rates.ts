import { type RateState, rate } from "@gatehouse/buckets";
import { countsResource, isRate, type Limit, type RateLimit, REQUESTS } from "./limit.ts";

/**
 * Rates on calls of the control plane: limits whose pattern begins with `gatehouse.`. They are charged here and now, for
 * these calls are few and no lease is worth its round trip; they enter no usage. Quotas and other limits are not for
 * them, so that an organization that has used up its quota can still see to its keys.
 */
export interface ControlTx {
  nowMs(): Promise<number>;
  /** Locks the rates' rows; those whose state was lost are missing. */
  lockRates(limitIds: readonly string[]): Promise<ReadonlyMap<string, RateState>>;
  writeRates(states: ReadonlyMap<string, RateState>): Promise<void>;
}

export interface ControlStore {
  /** Limits on these nodes whose pattern begins with `gatehouse.`. */
  controlLimits(nodeIds: readonly string[]): Promise<readonly Limit[]>;
  /** Runs `work` in a transaction; it may run more than once. */
  charge<T>(work: (tx: ControlTx) => Promise<T>): Promise<T>;
}

export interface ControlCharge {
  readonly exceeded: { limit: RateLimit; retryAfterMs: number | undefined } | undefined;
  /** Nothing of the kind is on these nodes. */
  readonly isFree: boolean;
}

/** Charges one call to every rate on the nodes that counts the scope; where one that refuses lacks a unit, to none. */
export async function chargeControlCall(
  store: ControlStore,
  nodeIds: readonly string[],
  scope: string,
): Promise<ControlCharge> {
  const limits = (await store.controlLimits(nodeIds))
    .filter(isRate)
    .filter(({ meter }) => meter === REQUESTS);
  if (limits.length === 0) return { exceeded: undefined, isFree: true };
  const due = limits.filter((limit) => countsResource(limit, scope));
  if (due.length === 0) return { exceeded: undefined, isFree: false };
  const exceeded = await store.charge((tx) => chargeAll(tx, due));
  return { exceeded, isFree: false };
}

async function chargeAll(tx: ControlTx, due: readonly RateLimit[]): Promise<ControlCharge["exceeded"]> {
  const known = await tx.lockRates(due.map(({ id }) => id));
  const nowMs = await tx.nowMs();
  const states = new Map<string, RateState>();
  for (const limit of due) {
    const { id, allowance, enforcement } = limit;
    // One that was lost begins empty, as with leases.
    const state = rate.refill(known.get(id) ?? rate.openEmpty(allowance, nowMs), allowance, nowMs);
    if (enforcement === "ENFORCE" && state.available < 1) {
      // Or it would begin anew with each call, and never refill.
      if (!known.has(id)) await tx.writeRates(new Map([[id, state]]));
      const ms = rate.retryAfterMs(state, allowance, 1, nowMs);
      return { limit, retryAfterMs: Number.isFinite(ms) ? ms : undefined };
    }
    states.set(id, rate.charge(state, allowance, { units: 1, spentAtMs: nowMs }, nowMs));
  }
  await tx.writeRates(states);
  return undefined;
}
