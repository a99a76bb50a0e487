import { basename } from "node:path";
import { describeBucket } from "./buckets.ts";
import type { ReplayResult } from "./replay.ts";
import { MALFORMED_SHOWN, type Survey } from "./survey.ts";
import { table } from "./table.ts";

/** The report of a run, for people. */
export function report(result: ReplayResult, top: number): string {
  return [
    ...traceSection(result),
    "",
    ...usageSection(result, top),
    "",
    ...refusalSection(result),
    "",
    ...timeSection(result),
    "",
    ...verdictSection(result),
  ].join("\n");
}

/** True where everything agrees, and every quota gave what it holds and no more. */
export function isExact({ differences, faults }: ReplayResult): boolean {
  return differences.length === 0 && faults.length === 0;
}

function traceSection({ trace, rule, survey, organization, accounts }: ReplayResult): string[] {
  const { lines, calls, damaged, stepsBack, spanMs } = survey;
  const facts = [`${lines} lines, ${calls} calls over ${duration(spanMs)}`];
  if (stepsBack > 0) facts.push(`${stepsBack} of them step backwards in time`);
  if (damaged > 0) facts.push(`${damaged} read in spite of a damaged end`);
  const { slug, isNew } = organization;
  return [
    `${basename(trace.path)} (${trace.format.name}; ${trace.format.description})`,
    `  ${facts.join("; ")}`,
    ...malformedLines(basename(trace.path), survey),
    `  callers: ${rule}: ${accounts.ids.size} subaccounts of ${slug}, ${accounts.created} created` +
      `${isNew ? "; the organization is new" : ""}`,
  ];
}

function malformedLines(file: string, { malformed, malformedLines: shown }: Survey): string[] {
  if (malformed === 0) return [];
  const more = malformed - shown.length;
  return [
    `  ${malformed} malformed lines are no calls and were not sent:`,
    ...shown.map(({ number, problem }) => `    ${file}:${number}: ${problem}`),
    ...(more > 0 ? [`    and ${more} more after the first ${MALFORMED_SHOWN}`] : []),
  ];
}

function usageSection(result: ReplayResult, top: number): string[] {
  const { meters, tally, usage, organization } = result;
  const nameOf = namesOf(result);
  const all = [...tally.accounts].map(([id, { admitted, refused }]) => ({
    name: nameOf(id),
    units: [...admitted, refused[0]!],
  }));
  // The last meter of the trace is what is bought; of an access log, bytes.
  const weight = meters.length - 1;
  all.sort((a, b) => compareUnits(b.units[weight]!, a.units[weight]!) || (a.name < b.name ? -1 : 1));
  const shown = all.slice(0, top);
  const rest = all.slice(top);
  const row = ({ name, units }: (typeof all)[number]) => [name, ...units.map(String)];
  const booked = meters.map((meter) => String(usage.parent.get(meter) ?? 0n));
  return table([
    ["who used what", ...meters, "refused calls"],
    ...shown.map(row),
    ...(rest.length > 0 ? [row({ name: `the other ${rest.length}`, units: sums(rest) })] : []),
    row({ name: `all ${all.length}`, units: sums(all) }),
    [`${organization.slug}, as metering has it`, ...booked, ""],
  ]);
}

function refusalSection(result: ReplayResult): string[] {
  const { tally, meters, buckets } = result;
  const nameOf = namesOf(result);
  const notes = [
    `${tally.indeterminate} INDETERMINATE answers asked again, ${tally.resent} batches sent again`,
    ...(tally.warned > 0 ? [`${tally.warned} calls over a limit that only warns`] : []),
  ];
  if (tally.refusals.size === 0) return ["nobody was refused", ...notes];
  const refusals = [...tally.refusals.values()].sort((a, b) => compareUnits(b.units[0]!, a.units[0]!));
  const shown = refusals.slice(0, REFUSALS_SHOWN);
  const rest = refusals.slice(REFUSALS_SHOWN);
  const rows = shown.map(({ code, limitId, nodeId, meter, units, accounts: whose }) => {
    const bucket = buckets.get(limitId);
    const known = bucket === undefined ? `${meter} on ${nameOf(nodeId)}` : describeBucket(bucket, nameOf);
    const by = limitId === "" ? "" : known;
    return [code, by, String(whose.size), ...units.map(String)];
  });
  const restUnits = sums(rest);
  const restRow = [`the other ${rest.length}`, "", "", ...restUnits.map(String)];
  return [
    ...table(
      [["refused by", "limit", "accounts", ...meters], ...rows, ...(rest.length > 0 ? [restRow] : [])],
      2,
    ),
    ...notes,
  ];
}

const REFUSALS_SHOWN = 20;

function timeSection({ survey, tookMs, accounts }: ReplayResult): string[] {
  const perSecond = (count: number, ms: number) => Math.round((count * 1000) / Math.max(1, ms));
  return [
    `read in ${duration(tookMs.survey)}; accounts and limits in ${duration(tookMs.provision)}` +
      (accounts.created > 0 ? ` (${perSecond(accounts.created, tookMs.provision)} accounts/s)` : "") +
      `; ${survey.calls} calls in ${duration(tookMs.send)} (${perSecond(survey.calls, tookMs.send)}/s)` +
      `; usage arrived within ${duration(tookMs.settle)}`,
  ];
}

function verdictSection(result: ReplayResult): string[] {
  const { differences, faults, buckets } = result;
  if (isExact(result)) {
    const held = buckets.size > 0 ? "; no quota gave more than it holds, or refused what it had" : "";
    return [
      `exact: sent = admitted + refused, usage = admitted, parent = sum of children, for every meter${held}`,
    ];
  }
  const nameOf = namesOf(result);
  const wrong = [
    ...differences,
    ...faults.map(({ bucket, problem }) => `${describeBucket(bucket, nameOf)}: ${problem}`),
  ];
  return [
    "NOT EXACT (what others do to this organization during the run shows here too):",
    ...wrong.slice(0, WRONG_SHOWN).map((each) => `  ${each}`),
    ...(wrong.length > WRONG_SHOWN ? [`  and ${wrong.length - WRONG_SHOWN} more`] : []),
  ];
}

/** A list that is longer says no more. */
const WRONG_SHOWN = 30;

function namesOf({ organization, accounts }: ReplayResult): (nodeId: string) => string {
  const names = new Map([...accounts.ids].map(([slug, id]) => [id, slug]));
  names.set(organization.id, organization.slug);
  return (id) => names.get(id) ?? id;
}

function sums(rows: readonly { readonly units: readonly bigint[] }[]): bigint[] {
  const width = rows[0]?.units.length ?? 0;
  return Array.from({ length: width }, (_, index) =>
    rows.reduce((sum, { units }) => sum + units[index]!, 0n),
  );
}

function compareUnits(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${(ms / 60_000).toFixed(1)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}
