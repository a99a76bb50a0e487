import type { UsageRow } from "../domain/query-usage.ts";

const COLUMNS = [
  "start",
  "account_id",
  "key_id",
  "meter",
  "resource",
  "outcome",
  "units",
  "cost",
  "currency",
];

export const csvHeader = line(COLUMNS);

/** Rows as lines by RFC 4180, in the order of the header; times in the zone, as RFC 3339. */
export function csvWriter(timeZone: string): (rows: readonly UsageRow[]) => string {
  const timeOf = timeWriter(timeZone);
  return (rows) =>
    rows
      .map(({ startMs, meter, groups, units, cost, currency }) => {
        const { ACCOUNT = "", KEY = "", RESOURCE = "", OUTCOME = "" } = groups;
        const series = [ACCOUNT, KEY, meter, RESOURCE, OUTCOME];
        return line([timeOf(startMs), ...series, String(units), String(cost), currency]);
      })
      .join("");
}

// Many rows are of one time.
function timeWriter(timeZone: string): (ms: number) => string {
  let lastMs = Number.NaN;
  let text = "";
  return (ms) => {
    if (ms !== lastMs) {
      lastMs = ms;
      text = timeIn(timeZone, ms);
    }
    return text;
  };
}

function timeIn(timeZone: string, ms: number): string {
  const instant = Temporal.Instant.fromEpochMilliseconds(ms);
  if (timeZone === "" || timeZone === "UTC") return instant.toString();
  return instant.toZonedDateTimeISO(timeZone).toString({ timeZoneName: "never" });
}

function line(fields: readonly string[]): string {
  return `${fields.map(quoted).join(",")}\r\n`;
}

function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
