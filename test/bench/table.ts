/** Reports as a person reads them. */
import { LATENCY_HEAD, latencyCells } from "./latencies.ts";
import type { Round } from "./rounds.ts";

/** Columns as wide as what is in them; the first is aligned to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(shown))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  return cells
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A heading with what was set, and a blank line. */
export function heading(title: string, settings: Readonly<Record<string, string | number>>): string {
  const set = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return `${title} (${set.join(", ")})\n`;
}

export const ROUND_HEAD = ["calls/s", "CPU µs/call", "core busy", ...LATENCY_HEAD, "INDETERMINATE"];

export function roundCells(round: Round): (string | number)[] {
  const { callsPerSecond, cpuMicrosPerCall, coreBusy, indeterminate } = round;
  return [
    callsPerSecond,
    cpuMicrosPerCall.toFixed(1),
    `${(coreBusy * 100).toFixed(0)} %`,
    ...latencyCells(round),
    indeterminate,
  ];
}

function shown(cell: string | number): string {
  return typeof cell === "string"
    ? cell
    : Number.isInteger(cell)
      ? String(cell)
      : cell.toFixed(cell < 10 ? 2 : 0);
}
