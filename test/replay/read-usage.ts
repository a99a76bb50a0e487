import type { Gatehouse } from "@gatehouse/client";
import { GroupBy } from "@gatehouse/proto/metering";
import { persistently } from "./persist.ts";

/** What metering has booked, by meter. */
export type MeterUnits = ReadonlyMap<string, bigint>;

/** What metering has booked for an organization in some time. */
export interface Usage {
  /** The organization with all below it, asked for as one sum. */
  readonly parent: MeterUnits;
  /** By account id, asked for apart; the organization's own is among them. */
  readonly accounts: ReadonlyMap<string, MeterUnits>;
}

/** A span of time in Unix milliseconds. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

const PAGE = 10_000;

/** Asks for the parent and for its parts, each in a query of its own: that they agree is what is to be shown. */
export async function readUsage(root: Gatehouse, organizationId: string, span: Span): Promise<Usage> {
  const parent = new Map<string, bigint>();
  for await (const { meter, units } of rows(root, organizationId, span, [GroupBy.METER]))
    add(parent, meter, units);
  const accounts = new Map<string, Map<string, bigint>>();
  const groups = [GroupBy.ACCOUNT, GroupBy.METER];
  for await (const { accountId, meter, units } of rows(root, organizationId, span, groups)) {
    const account = accounts.get(accountId) ?? new Map<string, bigint>();
    accounts.set(accountId, account);
    add(account, meter, units);
  }
  return { parent, accounts };
}

async function* rows(root: Gatehouse, account: string, { fromMs, toMs }: Span, groupBy: GroupBy[]) {
  for (let pageToken = ""; ; ) {
    const page = await persistently(() =>
      root.usage.queryUsage({
        node: { case: "account", value: account },
        descendants: true,
        groupBy,
        start: minute(Math.floor(fromMs / 60_000)),
        end: minute(Math.ceil(toMs / 60_000)),
        pageSize: PAGE,
        pageToken,
      }),
    );
    yield* page.rows;
    if (page.nextPageToken === "") return;
    pageToken = page.nextPageToken;
  }
}

/** Usage after less usage before. */
export function usageSince(before: Usage, after: Usage): Usage {
  const accounts = new Map<string, MeterUnits>();
  for (const [id, units] of after.accounts) accounts.set(id, less(units, before.accounts.get(id)));
  return { parent: less(after.parent, before.parent), accounts };
}

function less(after: MeterUnits, before: MeterUnits | undefined): MeterUnits {
  return new Map([...after].map(([meter, units]) => [meter, units - (before?.get(meter) ?? 0n)]));
}

function add(sums: Map<string, bigint>, meter: string, units: bigint): void {
  sums.set(meter, (sums.get(meter) ?? 0n) + units);
}

function minute(minutes: number) {
  return { seconds: BigInt(minutes * 60), nanos: 0 };
}
