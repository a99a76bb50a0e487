import { CALLERS, type CallerName } from "./world.ts";

/** The words of one row, by caller. */
export type Cells = Readonly<Record<CallerName, string>>;
/** By row: `identity.v1.KeyService/CreateKey`, or `…/CreateKey:variant`. */
export type Matrix = ReadonlyMap<string, Cells>;

const NAME_WIDTH = 34;
const CELL_WIDTH = 7;

/** Reads the table as {@link formatMatrix} writes it. Throws where a row has not one word for every caller. */
export function parseMatrix(text: string): Matrix {
  const rows = new Map<string, Cells>();
  let service = "";
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [name, ...words] = line.trim().split(/\s+/);
    if (!line.startsWith(" ")) {
      service = name!;
      if (words.length > 0 && words.join() !== CALLERS.join()) throw new Error(`other callers: ${line}`);
      continue;
    }
    const row = `${service}/${name}`;
    if (words.length !== CALLERS.length) throw new Error(`not ${CALLERS.length} words: ${line}`);
    if (rows.has(row)) throw new Error(`twice: ${row}`);
    rows.set(row, Object.fromEntries(CALLERS.map((caller, n) => [caller, words[n]!])) as Cells);
  }
  return rows;
}

/** The table as a person reads it: a service, and a line for each of its rows. */
export function formatMatrix(matrix: Matrix): string {
  const lines: string[] = [];
  let before = "";
  for (const [row, cells] of matrix) {
    const [service, name] = row.split("/") as [string, string];
    if (service !== before) lines.push(...(before === "" ? [] : [""]), line(service, CALLERS));
    before = service;
    lines.push(
      line(
        `  ${name}`,
        CALLERS.map((caller) => cells[caller]),
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}

function line(name: string, words: readonly string[]): string {
  return (
    name.padEnd(NAME_WIDTH) + words.map((word) => `${word.padEnd(CELL_WIDTH - 1)} `).join("")
  ).trimEnd();
}
