/** The calls of a trace, read in another way than the replay reads them: what its books are held to. */
import { hash } from "node:crypto";

/** A call as its line says. */
export interface HandCall {
  readonly line: string;
  /** Its department by `zipf:N`. */
  readonly slug: string;
  /** One request, then what the line counts. */
  readonly units: readonly bigint[];
}

export interface HandTrace {
  /** Of a CSV, one line. */
  readonly header: readonly string[];
  readonly calls: readonly HandCall[];
}

/** Of an access log, or of a CSV of times and tokens, in which all lines are good. */
export function traceByHand(text: string, departments: number): HandTrace {
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  const isCsv = lines[0]!.startsWith("TIMESTAMP,");
  const callOf = isCsv ? rowByHand : logLineByHand;
  return {
    header: isCsv ? lines.slice(0, 1) : [],
    calls: lines.slice(isCsv ? 1 : 0).map((line) => callOf(line, departments)),
  };
}

function rowByHand(line: string, departments: number): HandCall {
  const [, ...tokens] = line.split(",");
  return { line, slug: departmentOf(line, departments), units: [1n, ...tokens.map(BigInt)] };
}

function logLineByHand(line: string, departments: number): HandCall {
  const address = line.slice(0, line.indexOf(" "));
  const [, size = "-"] = line.slice(line.indexOf('" ') + 2).split(" ");
  return { line, slug: departmentOf(address, departments), units: [1n, size === "-" ? 0n : BigInt(size)] };
}

function departmentOf(text: string, departments: number): string {
  let whole = 0;
  for (let k = 1; k <= departments; k++) whole += 1 / k;
  let rest = (Number.parseInt(hash("sha256", text).slice(0, 8), 16) / 2 ** 32) * whole;
  let k = 1;
  for (; k < departments && rest >= 1 / k; k++) rest -= 1 / k;
  return `department-${k}`;
}
