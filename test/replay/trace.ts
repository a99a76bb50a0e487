/** One call of a trace. */
export interface TraceCall {
  readonly timeMs: number;
  /** Who called, where the trace says it. */
  readonly address?: string;
  /** Units of the format's meters, in their order; the one request is not among them. */
  readonly units: readonly bigint[];
  /** The line is damaged behind all that is read of it. */
  readonly isDamaged?: boolean;
}

/** Why a line is no call. */
export interface Malformed {
  readonly problem: string;
}

export function isMalformed(parsed: object): parsed is Malformed {
  return "problem" in parsed;
}

/** How the lines of a trace are read. */
export interface TraceFormat {
  readonly name: "access-log" | "csv";
  /** What is counted beside `requests`. */
  readonly meters: readonly string[];
  /** For people: where the units come from. */
  readonly description: string;
  /** Lines before the first call. */
  readonly headerLines: number;
  parse(text: string): TraceCall | Malformed;
}

/** The names of meters that Gatehouse takes. */
export const METER_PATTERN = /^[a-z][a-z0-9_]{0,62}$/;

/** The operator's mistake: said in one line, without a stack. */
export class ReplayError extends Error {
  override readonly name = "ReplayError";
}
