/**
 * How large things get. Metering takes payloads of up to 4 MiB; a batch ends near SEAL_BATCH_BYTES and cannot pass that
 * by more than a flush and the denials that join it, under 1 MiB in all; MAX_TURN_BYTES bounds the worst turn.
 */

/**
 * A segment whose batch could be this large is sealed: some 20 000 series and leases. Larger ones would stall the loop
 * for longer while they are encoded; smaller ones would repeat the names of a busy replica several times a second.
 */
export const SEAL_BATCH_BYTES = 2 * 1024 * 1024;

/** A turn is written early at this size, between two decisions: one BatchVerify must not fill a segment on its own. */
export const FLUSH_BYTES = 256 * 1024;

/** A turn that is still larger, which takes a single decision of hundreds of long names, fails rather than be cut. */
export const MAX_TURN_BYTES = 1024 * 1024;

/** Names of denied series are held in memory up to this size, then written. */
export const DENIED_BYTES = 128 * 1024;

/** Units in one record. */
export const MAX_UNITS = 2 ** 48;

/** Minutes of Unix time: two thousand years. */
export const MAX_MINUTE = 2 ** 30;

/** Sums in a batch stay safe integers: what crosses this line by one flush is still below 2^53. */
export const SEAL_UNITS = 2 ** 52;
export const FLUSH_UNITS = 2 ** 51;

/** Segments that wait to be sealed. More means that the disk takes no files: recording stops, nothing is lost. */
export const MAX_UNSEALED_SEGMENTS = 16;

/** What may wait for metering. In memory it is as much as can be lost at once; on disk about a day at full load. */
export const MAX_PENDING_BYTES = { memory: 64 * 1024 * 1024, disk: 16 * 1024 * 1024 * 1024 };

/** Throws RangeError. */
export function assertUnits(units: number): void {
  if (!Number.isInteger(units) || units < 0 || units > MAX_UNITS) {
    throw new RangeError(`units must be an integer from 0 to ${MAX_UNITS}, not ${units}`);
  }
}

/** Throws RangeError. */
export function assertMinute(minute: number): void {
  if (!Number.isInteger(minute) || minute < 0 || minute > MAX_MINUTE) {
    throw new RangeError(`a minute is an integer from 0 to ${MAX_MINUTE}, not ${minute}`);
  }
}
