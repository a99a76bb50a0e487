import type { MeterUnits, Usage } from "./read-usage.ts";
import type { Tally } from "./tally.ts";

export interface Books {
  /** `requests` first. */
  readonly meters: readonly string[];
  /** What is in the trace, by meter. */
  readonly trace: MeterUnits;
  readonly tally: Tally;
  /** What metering booked during the run. */
  readonly usage: Usage;
  /** Account slug by id, for people. */
  readonly slugs: ReadonlyMap<string, string>;
}

/** A list that is longer says no more. */
const ACCOUNTS_NAMED = 5;

/** Everything that does not agree; empty where all does, to the unit. */
export function compare(books: Books): string[] {
  const { tally } = books;
  const differences = [...comparedTotals(books), ...comparedAccounts(books)];
  if (tally.undecided > 0) {
    differences.unshift(
      `${tally.undecided} calls were never decided: INDETERMINATE each time they were asked`,
    );
  }
  return differences;
}

function comparedTotals({ meters, trace, tally, usage }: Books): string[] {
  const sent = tally.total("sent");
  const admitted = tally.total("admitted");
  const refused = tally.total("refused");
  return meters.flatMap((meter, index) => {
    const children = sum(usage.accounts.values(), meter);
    const parent = usage.parent.get(meter) ?? 0n;
    return [
      ...differ(`${meter}: sent`, sent[index]!, "in the trace", trace.get(meter) ?? 0n),
      ...differ(`${meter}: admitted + refused`, admitted[index]! + refused[index]!, "sent", sent[index]!),
      ...differ(`${meter}: usage of the organization`, parent, "admitted", admitted[index]!),
      ...differ(`${meter}: usage of the organization`, parent, "the sum of its accounts'", children),
    ];
  });
}

function comparedAccounts({ meters, tally, usage, slugs }: Books): string[] {
  const ids = new Set([...tally.accounts.keys(), ...usage.accounts.keys()]);
  const differences = [...ids].flatMap((id) =>
    meters.flatMap((meter, index) => {
      const booked = usage.accounts.get(id)?.get(meter) ?? 0n;
      const admitted = tally.accounts.get(id)?.admitted[index] ?? 0n;
      return differ(`${meter}: usage of ${slugs.get(id) ?? id}`, booked, "admitted", admitted);
    }),
  );
  const more = differences.length - ACCOUNTS_NAMED;
  return more > 0 ? [...differences.slice(0, ACCOUNTS_NAMED), `and ${more} more such accounts`] : differences;
}

function differ(one: string, units: bigint, other: string, otherUnits: bigint): string[] {
  return units === otherUnits ? [] : [`${one} is ${units}, ${other} is ${otherUnits}`];
}

function sum(accounts: Iterable<MeterUnits>, meter: string): bigint {
  let units = 0n;
  for (const account of accounts) units += account.get(meter) ?? 0n;
  return units;
}
