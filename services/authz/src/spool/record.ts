/**
 * The records in a frame's payload: a format byte, then records, each a varint `value × 8 + kind` and what follows it.
 * Series and leases are numbered from 0 in the order of their definitions in the segment.
 */

/** The first byte of every payload. Recovery refuses others rather than guess. */
export const FORMAT = 3;
/** Format 1 was the same without {@link RESERVED}, format 2 without {@link PRICED}. */
export const OLDEST_FORMAT = 1;

/** Value: length of the fields (see series.ts) that follow. */
export const DEFINE_SERIES = 0;
/** Value: length of the fields that follow. */
export const DEFINE_LEASE = 1;
/** Value: the minute of the charges that follow in this frame. */
export const MINUTE = 2;
/** Value: series; then units. */
export const CHARGE = 3;
/** Value: lease; then units. */
export const SPEND = 4;
/** Value: lease, now held by this epoch. */
export const GRANTED = 5;
/** Value: lease, from which nothing will be spent any more. */
export const CLOSED = 6;
/** Value: which of the records that are rare or large, for which three bits left no kind of their own. */
export const OTHER = 7;

/** Nothing more will ever be said under this epoch. */
export const ENDED = 0;
/** Then the length of the fields (see reservation.ts) that follow it: an estimate is held. */
export const RESERVED = 1;
/** Then series, units and what they cost, in micros: a charge that has a price. */
export const PRICED = 2;
