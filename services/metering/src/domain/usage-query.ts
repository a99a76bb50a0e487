import { isTimeZone } from "@gatehouse/buckets";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { type NodeName, nodeViolations } from "./node-in-reach.ts";
import { isStorable } from "./storable.ts";
import { isTime, readSpan, type Span } from "./usage-span.ts";

export type Granularity = "MINUTE" | "HOUR" | "DAY" | "MONTH";

/** What rows are told apart by besides time and meter, in the order in which rows are sorted. */
export const GROUPS = ["ACCOUNT", "KEY", "RESOURCE", "OUTCOME"] as const;
export type Group = (typeof GROUPS)[number];

/** A query as it was asked for: nothing in it is checked. */
export interface UsageDraft {
  readonly node: NodeName | undefined;
  readonly descendants: boolean;
  /** `METER` is always grouped; `UNKNOWN` is what this version does not know. */
  readonly groupBy: readonly (Group | "METER" | "UNKNOWN")[];
  /** Undefined: one row for the whole time. */
  readonly granularity: Granularity | "UNKNOWN" | undefined;
  readonly timeZone: string;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  /** Empty: every meter. */
  readonly meter: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface UsageQuery extends Span {
  readonly groups: readonly Group[];
  readonly granularity: Granularity | undefined;
  readonly timeZone: string;
  readonly meter: string | undefined;
  readonly pageSize: number;
  readonly after: RowKey | undefined;
}

/** What a row is sorted by: its time, its meter, its groups, then its currency. */
export type RowKey = readonly [startMs: number, meter: string, ...groupsAndCurrency: string[]];

const DEFAULT_PAGE_SIZE = 1000;
const MAX_PAGE_SIZE = 10_000;
const MAX_GROUPS = 16;
const MAX_TOKEN_LENGTH = 4096;

/** `meterKnown`: whether there is such a meter. Throws Failure INVALID_ARGUMENT naming every bad field. */
export function readUsageDraft(draft: UsageDraft, meterKnown: boolean, nowMs: number): UsageQuery {
  const violations: Violation[] = nodeViolations(draft.node);
  const check = (holds: boolean, field: string, description: string) => {
    if (!holds) violations.push({ field, description });
  };
  const { granularity, pageSize, meter } = draft;
  check(draft.groupBy.length <= MAX_GROUPS, "group_by", `has more than ${MAX_GROUPS} items`);
  for (const [i, group] of draft.groupBy.entries()) {
    check(group !== "UNKNOWN", `group_by[${i}]`, "not known to this version");
  }
  check(granularity !== "UNKNOWN", "granularity", "not known to this version");
  check(pageSize >= 0 && pageSize <= MAX_PAGE_SIZE, "page_size", `must be 1 to ${MAX_PAGE_SIZE}`);
  check(meterKnown, "meter", "no such meter");
  const zoned = draft.timeZone === "" || isTimeZone(draft.timeZone);
  check(zoned, "time_zone", "must be a time zone of the IANA database");
  const timeZone = zoned && draft.timeZone !== "" ? draft.timeZone : "UTC";

  const { span, violations: ofSpan } = readSpan(draft, timeZone, nowMs);
  violations.push(...ofSpan);

  const groups = GROUPS.filter((group) => draft.groupBy.includes(group));
  const after = draft.pageToken === "" ? undefined : readPageToken(draft.pageToken, groups.length);
  check(after !== "INVALID", "page_token", "must be the next_page_token of the page before");
  if (violations.length > 0 || granularity === "UNKNOWN" || after === "INVALID") throw invalid(violations);
  return {
    groups,
    granularity,
    timeZone,
    ...span,
    meter: meter === "" ? undefined : meter,
    pageSize: pageSize || DEFAULT_PAGE_SIZE,
    after,
  };
}

export function writePageToken(key: RowKey): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

function readPageToken(token: string, groups: number): RowKey | "INVALID" {
  if (token.length > MAX_TOKEN_LENGTH) return "INVALID";
  try {
    const key: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    return isRowKey(key, groups) ? key : "INVALID";
  } catch {
    return "INVALID";
  }
}

function isRowKey(key: unknown, groups: number): key is RowKey {
  if (!Array.isArray(key) || key.length !== groups + 3) return false;
  const [startMs, ...texts] = key as unknown[];
  return (
    typeof startMs === "number" &&
    isTime(startMs) &&
    texts.every((text) => typeof text === "string" && isStorable(text, MAX_TOKEN_LENGTH))
  );
}
