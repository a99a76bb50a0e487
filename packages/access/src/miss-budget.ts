import { Allowance, type AllowanceRate } from "@gatehouse/service/allowance";

/** For hashes of imported keys: junk that begins as they do costs no more than this, and they themselves nothing. */
export const UNKNOWN_HASHES: AllowanceRate = { perSecond: 1000, burst: 2000 };

/**
 * Bounds what asking for things that are not there costs the source. Each question takes one, and what was there gives
 * it back: what exists is read as fast as it is asked for, `burst` at a time.
 */
export const MissBudget = Allowance;
export type MissBudget = Allowance;
