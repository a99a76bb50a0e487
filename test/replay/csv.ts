import { parseTimeMs } from "./calendar.ts";
import {
  isMalformed,
  type Malformed,
  METER_PATTERN,
  ReplayError,
  type TraceCall,
  type TraceFormat,
} from "./trace.ts";

/** Which columns of a CSV trace say what. */
export interface CsvColumns {
  /** Column of the time. Default: one called timestamp, time, date or ts, in whatever case. */
  readonly time?: string | undefined;
  /** Column by meter. */
  readonly meters: ReadonlyMap<string, string>;
}

const TIME_NAMES = ["timestamp", "time", "date", "ts"];
const UNITS = /^\d{1,15}$/;

/** Reads `context=ContextTokens,generated=GeneratedTokens`. */
export function parseMeterColumns(text: string): Map<string, string> {
  const columns = new Map<string, string>();
  for (const pair of text.split(",")) {
    const [, meter = "", column = ""] = /^\s*([^=\s]+)\s*=\s*(.+?)\s*$/.exec(pair) ?? [];
    if (!METER_PATTERN.test(meter) || meter === "requests") {
      throw new ReplayError(`--meters: "${pair}" is not METER=COLUMN, with a-z, 0-9 and _ in METER`);
    }
    if (columns.has(meter)) throw new ReplayError(`--meters: ${meter} is there twice`);
    columns.set(meter, column);
  }
  return columns;
}

/** A CSV (RFC 4180) with a header; a record is one line, so a quoted field holds no line break. */
export function csvFormat(header: string, columns: CsvColumns): TraceFormat {
  const names = columnNames(header);
  const time = indexOfTime(names, columns.time);
  const meters = [...columns.meters.keys()];
  const indexes = [...columns.meters.values()].map((name) => indexOf(names, name));
  const unread = names.filter((_, index) => index !== time && !indexes.includes(index));

  function parse(text: string): TraceCall | Malformed {
    if (text === "") return { problem: "the line is empty" };
    const fields = parseCsvRow(text);
    if (isMalformed(fields)) return fields;
    if (fields.length !== names.length) {
      return { problem: `has ${fields.length} fields, the header ${names.length}` };
    }
    const timeMs = parseTimeMs(fields[time]!);
    if (timeMs === undefined) return { problem: `${names[time]} is not a time` };
    const wrong = indexes.find((index) => !UNITS.test(fields[index]!));
    if (wrong !== undefined) return { problem: `${names[wrong]} is not a whole number of up to 15 digits` };
    return { timeMs, units: indexes.map((index) => BigInt(fields[index]!)) };
  }

  const counted = [...columns.meters].map(([meter, column]) => `${meter} = ${column}`);
  return {
    name: "csv",
    meters,
    description: [
      `time = ${names[time]}`,
      ...counted,
      ...(unread.length > 0 ? [`not read: ${unread.join(", ")}`] : []),
    ].join("; "),
    headerLines: 1,
    parse,
  };
}

function columnNames(header: string): string[] {
  const names = parseCsvRow(header);
  if (isMalformed(names)) throw new ReplayError(`the header of the CSV: ${names.problem}`);
  return names;
}

/** The fields of one line. */
export function parseCsvRow(text: string): string[] | Malformed {
  if (!text.includes('"')) return text.split(",");
  const fields: string[] = [];
  for (let at = 0; ; ) {
    const isQuoted = text[at] === '"';
    const end = isQuoted ? endOfQuoted(text, at) : endOfPlain(text, at);
    if (end === -1) return { problem: "a quote is not closed" };
    const field = isQuoted ? text.slice(at + 1, end - 1).replaceAll('""', '"') : text.slice(at, end);
    if (!isQuoted && field.includes('"')) return { problem: "a quote stands inside a field without quotes" };
    fields.push(field);
    if (end === text.length) return fields;
    if (text[end] !== ",") return { problem: "a quoted field is not followed by a comma" };
    at = end + 1;
  }
}

function endOfPlain(text: string, from: number): number {
  const comma = text.indexOf(",", from);
  return comma === -1 ? text.length : comma;
}

/** Behind the closing quote; -1 where there is none. Two quotes in a row are one of the field. */
function endOfQuoted(text: string, from: number): number {
  for (let at = from + 1; ; at += 2) {
    at = text.indexOf('"', at);
    if (at === -1) return -1;
    if (text[at + 1] !== '"') return at + 1;
  }
}

function indexOfTime(names: readonly string[], wanted: string | undefined): number {
  if (wanted !== undefined) return indexOf(names, wanted);
  const index = names.findIndex((name) => TIME_NAMES.includes(name.trim().toLowerCase()));
  if (index === -1) throw new ReplayError(`--time COLUMN is needed: one of ${names.join(", ")}`);
  return index;
}

function indexOf(names: readonly string[], name: string): number {
  const index = names.indexOf(name);
  if (index === -1) throw new ReplayError(`the CSV has no column ${name}; it has ${names.join(", ")}`);
  return index;
}
