/**
 * What a count stops at. One that could not be added to would be an error that holds up its producer's spool for
 * ever, and two counts of this size still add up to a bigint. A call charges at most 2^48 units, so it takes
 * thousands of calls of the most, on one series in one minute, to come here.
 */
export const MOST_COUNTED = 2n ** 62n - 1n;

/** SQL: a sum, or the most that is counted. */
export function counted(sum: string): string {
  return `least(${sum}, ${MOST_COUNTED})::bigint`;
}
