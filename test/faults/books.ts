import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { GroupBy } from "@gatehouse/proto/metering";
import { type Caller, timely } from "../system/caller.ts";
import { until } from "../system/until.ts";

/** What metering says of the limits of one account. */
export interface Bucket {
  readonly used: number;
  readonly leased: number;
  readonly remaining: number;
}

/** The first bucket on an account itself. */
export async function bucketOf(caller: Caller, account: string): Promise<Bucket> {
  const request = { node: { case: "account", value: account } } as const;
  const { allowances } = await caller.limits.getAllowance(request, timely);
  const own = allowances.find(({ limit }) => limit?.nodeId === account)!;
  return { used: Number(own.used), leased: Number(own.leased), remaining: Number(own.remaining) };
}

const MINUTE_MS = 60_000;
/** Longer than any test. */
const HOUR_MS = 3_600_000;

/** Charged units of an account and everything below it, over the last hour, by account. */
export async function usageBelow(
  caller: Caller,
  account: string,
  meter = "requests",
): Promise<ReadonlyMap<string, number>> {
  const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
  const { rows } = await caller.usage.queryUsage(
    {
      node: { case: "account", value: account },
      descendants: true,
      groupBy: [GroupBy.ACCOUNT],
      start: timestampFromMs(minute - HOUR_MS),
      end: timestampFromMs(minute + HOUR_MS),
      meter,
    },
    timely,
  );
  const byAccount = new Map<string, number>();
  for (const { accountId, units } of rows) {
    byAccount.set(accountId, (byAccount.get(accountId) ?? 0) + Number(units));
  }
  return byAccount;
}

export function sum(units: Iterable<number>): number {
  let total = 0;
  for (const each of units) total += each;
  return total;
}

/** Waits until nothing is lent on an account: every replica has said what it spent. */
export async function settledBucket(caller: Caller, account: string): Promise<Bucket> {
  return until(
    `all leases of ${account} are closed`,
    async () => {
      const bucket = await bucketOf(caller, account);
      return bucket.leased === 0 && bucket;
    },
    30_000,
  );
}

/** Waits until usage below an account is at least `units`; answers it. More than that is the test's to judge. */
export async function arrivedUsage(
  caller: Caller,
  account: string,
  units: number,
): Promise<ReadonlyMap<string, number>> {
  return until(
    `${units} units below ${account} have arrived`,
    async () => {
      const usage = await usageBelow(caller, account);
      return sum(usage.values()) >= units && usage;
    },
    30_000,
  );
}
