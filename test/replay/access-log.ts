import { fixedTimeMs } from "./calendar.ts";
import type { Malformed, TraceCall, TraceFormat } from "./trace.ts";

/**
 * The grammar, as much of it as a replay needs:
 *
 *     address SP ident SP user SP "[" day/month/year:hour:minute:second zone "]" SP
 *     quote request quote SP status SP size [ SP anything ]
 *
 * A quote inside the request is escaped by a backslash; `size` is `-` where nothing was sent. What follows the
 * size is not needed, and only looked at to say that it is damaged: real logs hold lines whose agent was cut
 * before its closing quote, and the bytes of such a call were served all the same.
 *
 * No part can match the same text in two ways, so a hostile line costs time linear in its length.
 */
const LINE =
  /^(\S+) \S+ \S+ \[(\d\d)\/([A-Z][a-z][a-z])\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\] "[^"\\]*(?:\\.[^"\\]*)*" \d{3} (\d{1,15}|-)(?: (.*))?$/s;

/** What should follow: nothing (common log format) or referrer and agent (combined), and whatever is added. */
const WHOLE_TAIL = /^"[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*"(?: .*)?$/s;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The combined and the common log format of Apache, nginx and others. */
export const accessLog: TraceFormat = {
  name: "access-log",
  meters: ["bytes"],
  description: "bytes = the size of the answer, 0 where the log says -",
  headerLines: 0,
  parse: parseLogLine,
};

/** Reads one line. */
export function parseLogLine(text: string): TraceCall | Malformed {
  if (text === "") return { problem: "the line is empty" };
  const match = LINE.exec(text);
  if (match === null) return { problem: 'is not: address ident user [time] "request" status size' };
  const [, address, day, monthName, year, hour, minute, second, zone, size, tail] = match;
  const month = MONTHS.indexOf(monthName!) + 1;
  const timeMs = fixedTimeMs([year, month, day, hour, minute, second].map(Number), zone!);
  if (timeMs === undefined) return { problem: "the time is not one of the calendar" };
  const units = [size === "-" ? 0n : BigInt(size!)];
  const isDamaged = tail !== undefined && !WHOLE_TAIL.test(tail);
  return { timeMs, address: address!, units, ...(isDamaged && { isDamaged }) };
}
