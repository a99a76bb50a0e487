/**
 * The records in a frame's payload: a format byte, then records, each a varint `value × 8 + kind` and what follows it.
 * Series and leases are numbered from 0 in the order of their definitions in the segment.
 */

/** The first byte of every payload. Recovery refuses others rather than guess. */
export const FORMAT = 1;

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
/** No value: nothing more will ever be said under this epoch. */
export const ENDED = 7;
