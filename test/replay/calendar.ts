const MINUTE_MS = 60_000;

/**
 * Unix milliseconds of year, month, day, hour, minute, second in a zone `+hhmm`, `+hh:mm` or `Z`; undefined where
 * the calendar has no such time.
 */
export function fixedTimeMs(parts: readonly number[], zone: string): number | undefined {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  // A leap second is the second after it.
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const localMs = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return localMs - offsetMinutes(zone) * MINUTE_MS;
}

function offsetMinutes(zone: string): number {
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(zone) ?? [];
  return (sign === "-" ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
}

const ISO = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$/;
/** Seconds, or milliseconds where there are at least 12 digits, which seconds have from the year 5138 on. */
const UNIX = /^(\d{1,11})(?:\.(\d{1,9}))?$|^(\d{12,15})$/;

/** Unix milliseconds of `2023-11-16 18:15:46.68`, in UTC unless it names a zone, or of Unix time. */
export function parseTimeMs(text: string): number | undefined {
  const unix = UNIX.exec(text);
  if (unix !== null) {
    const [, seconds, fraction, milliseconds] = unix;
    return milliseconds === undefined ? Number(seconds) * 1000 + fractionMs(fraction) : Number(milliseconds);
  }
  const iso = ISO.exec(text);
  if (iso === null) return undefined;
  const timeMs = fixedTimeMs(iso.slice(1, 7).map(Number), iso[8] ?? "Z");
  return timeMs === undefined ? undefined : timeMs + fractionMs(iso[7]);
}

function fractionMs(digits: string | undefined): number {
  return digits === undefined ? 0 : Math.floor(Number(`0.${digits}`) * 1000);
}
