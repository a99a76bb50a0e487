import type { WindowKind } from "@gatehouse/buckets";
import { webhookUrlFault } from "@gatehouse/events/webhook";
import type { Violation } from "@gatehouse/service/failure";
import { ALERT_WINDOWS, type AlertDirection, type AlertSubject, type AlertTerms } from "./alert.ts";
import { Fields } from "./fields.ts";
import { REQUESTS } from "./limit.ts";
import { MOST_MICROS } from "./money.ts";
import { nameViolations } from "./node-in-reach.ts";

interface WindowedDraft {
  readonly amount: bigint;
  readonly window: WindowKind | undefined;
  /** Empty: UTC. */
  readonly timeZone: string;
  readonly descendants: boolean;
}

/** An alert as it was asked for: nothing in it is checked, and undefined is what was not given. */
export interface AlertDraft {
  readonly name: string;
  readonly subject:
    | {
        readonly kind: "LIMIT";
        readonly limit: string;
        readonly share: number | undefined;
        readonly amount: bigint | undefined;
      }
    | ({ readonly kind: "USAGE"; readonly meter: string } & WindowedDraft)
    | ({ readonly kind: "SPEND"; readonly currency: string } & WindowedDraft)
    | { readonly kind: "BALANCE"; readonly currency: string; readonly amount: bigint }
    | undefined;
  /** `UNKNOWN` for what this version does not know. */
  readonly direction: AlertDirection | "UNKNOWN" | undefined;
  readonly webhookUrl: string;
}

const MAX_NAME = 100;
const MAX_SHARE = 100;
const MILLION = 1_000_000;

/**
 * The terms of a draft, or everything that is wrong with it. Whether the meter and the limit exist is not asked here;
 * `isAccount`: whether the draft is about an account, as far as it says.
 */
export function readAlertDraft(
  draft: AlertDraft,
  { isAccount, insecure }: { isAccount: boolean; insecure: boolean },
): { terms: AlertTerms | undefined; violations: Violation[] } {
  const fields = new Fields();
  const { name, webhookUrl } = draft;
  fields.text("name", name, MAX_NAME);
  fields.unless(draft.direction !== "UNKNOWN", "direction", "not known to this version");
  const urlFault = webhookUrl === "" ? undefined : webhookUrlFault(webhookUrl, { insecure });
  if (urlFault !== undefined) fields.wrong("webhook_url", urlFault);
  const subject = readSubject(draft.subject, isAccount, fields);
  const { violations } = fields;
  if (violations.length > 0 || subject === undefined) return { terms: undefined, violations };
  const usual = subject.kind === "BALANCE" ? "FALLING" : "RISING";
  const direction = (draft.direction as AlertDirection | undefined) ?? usual;
  return { terms: { name, subject, direction, webhookUrl }, violations };
}

function readSubject(
  draft: AlertDraft["subject"],
  isAccount: boolean,
  fields: Fields,
): AlertSubject | undefined {
  switch (draft?.kind) {
    case undefined:
      fields.wrong("limit", "an alert watches a limit, usage, spend or a balance");
      return undefined;
    case "LIMIT":
      return readLimit(draft, fields);
    case "USAGE":
      return {
        kind: "USAGE",
        meter: draft.meter || REQUESTS,
        ...windowed("usage", draft, isAccount, fields),
      };
    case "SPEND":
      fields.currency(draft.currency, { field: "spend.currency" });
      return { kind: "SPEND", currency: draft.currency, ...windowed("spend", draft, isAccount, fields) };
    case "BALANCE": {
      fields.currency(draft.currency, { field: "balance.currency" });
      fields.unless(isAccount, "balance", "a key has no balance");
      const amount = amountOf("balance.amount", draft.amount, BigInt(-MOST_MICROS), fields);
      return { kind: "BALANCE", currency: draft.currency, amount };
    }
  }
}

function readLimit(
  { limit, share, amount }: Extract<AlertDraft["subject"], { kind: "LIMIT" }>,
  fields: Fields,
): AlertSubject {
  if (limit === "") fields.wrong("limit.limit", "is required");
  fields.violations.push(...nameViolations("limit.limit", limit));
  if (share !== undefined) {
    const shareMillionths = Math.round(share * MILLION);
    const holds = shareMillionths >= 1 && shareMillionths <= MAX_SHARE * MILLION;
    fields.unless(holds, "limit.share", `must be 0.000001 to ${MAX_SHARE}`);
    return { kind: "LIMIT", limitId: limit, threshold: { shareMillionths } };
  }
  if (amount === undefined) fields.wrong("limit.share", "a share or an amount is required");
  const units = amount === undefined ? 1 : amountOf("limit.amount", amount, 1n, fields);
  return { kind: "LIMIT", limitId: limit, threshold: { amount: units } };
}

function windowed(
  field: string,
  { amount, window, timeZone, descendants }: WindowedDraft,
  isAccount: boolean,
  fields: Fields,
) {
  const known = ALERT_WINDOWS.find((kind) => kind === window);
  fields.unless(known !== undefined, `${field}.window`, `must be one of ${ALERT_WINDOWS.join(", ")}`);
  fields.timeZone(`${field}.time_zone`, timeZone);
  fields.unless(isAccount || !descendants, `${field}.descendants`, "nothing is below a key");
  const checked = amountOf(`${field}.amount`, amount, 1n, fields);
  return { amount: checked, window: known ?? "DAY", timeZone: timeZone || "UTC", descendants } as const;
}

function amountOf(field: string, value: bigint, least: bigint, fields: Fields): number {
  fields.amount(field, value, least);
  return Number(value);
}
