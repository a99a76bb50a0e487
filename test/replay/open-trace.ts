import { accessLog } from "./access-log.ts";
import { type CsvColumns, csvFormat } from "./csv.ts";
import { readLines } from "./lines.ts";
import { isMalformed, type Malformed, ReplayError, type TraceCall, type TraceFormat } from "./trace.ts";

/** A trace file, of which it is known how to read it. */
export interface Trace {
  readonly path: string;
  readonly format: TraceFormat;
  /** Every line that should be a call, in the order of the file; each time it is asked, from the start. */
  read(): AsyncGenerator<TraceLine>;
}

export interface TraceLine {
  readonly number: number;
  readonly text: string;
  readonly parsed: TraceCall | Malformed;
}

/** A format by name, or recognized by the first line: an access log is one, a line with a comma a CSV's header. */
export async function openTrace(
  path: string,
  name: "access-log" | "csv" | undefined,
  columns: CsvColumns,
): Promise<Trace> {
  const format = recognize(path, await firstLine(path), name, columns);
  if (format === accessLog && (columns.meters.size > 0 || columns.time !== undefined)) {
    throw new ReplayError("--meters and --time are for CSV; an access log counts requests and bytes");
  }
  return {
    path,
    format,
    async *read() {
      for await (const { number, text } of readLines(path)) {
        if (number <= format.headerLines) continue;
        const parsed = text === undefined ? { problem: "the line is too long" } : format.parse(text);
        yield { number, text: text ?? "", parsed };
      }
    },
  };
}

function recognize(
  path: string,
  first: string | undefined,
  name: "access-log" | "csv" | undefined,
  columns: CsvColumns,
): TraceFormat {
  if (first === undefined) throw new ReplayError(`${path} is empty, or its first line is too long`);
  const isLog = !isMalformed(accessLog.parse(first));
  if (name === "access-log" || (name === undefined && isLog)) return accessLog;
  if (name === "csv" || first.includes(",")) return csvFormat(first, columns);
  throw new ReplayError(`${path} is neither an access log nor a CSV by its first line; --format says which`);
}

async function firstLine(path: string): Promise<string | undefined> {
  try {
    for await (const { text } of readLines(path)) return text;
  } catch (cause) {
    throw new ReplayError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return undefined;
}
