import { isTimeZone, type WindowKind } from "@gatehouse/buckets";
import { webhookUrlFault } from "@gatehouse/events/webhook";
import type { Violation } from "@gatehouse/service/failure";
import { ALERT_WINDOWS, type AlertDirection, type AlertSubject, type AlertTerms } from "./alert.ts";
import { REQUESTS } from "./limit.ts";
import { CURRENCY, MOST_MICROS } from "./money.ts";
import { nameViolations } from "./node-in-reach.ts";
import { isStorable } from "./storable.ts";

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
  const faults = new Faults();
  const { name, webhookUrl } = draft;
  faults.unless(
    isStorable(name, MAX_NAME) && name.isWellFormed(),
    "name",
    `must be at most ${MAX_NAME} characters of well-formed text without NUL`,
  );
  faults.unless(draft.direction !== "UNKNOWN", "direction", "not known to this version");
  const urlFault = webhookUrl === "" ? undefined : webhookUrlFault(webhookUrl, { insecure });
  if (urlFault !== undefined) faults.add("webhook_url", urlFault);
  const subject = readSubject(draft.subject, isAccount, faults);
  const { violations } = faults;
  if (violations.length > 0 || subject === undefined) return { terms: undefined, violations };
  const usual = subject.kind === "BALANCE" ? "FALLING" : "RISING";
  const direction = (draft.direction as AlertDirection | undefined) ?? usual;
  return { terms: { name, subject, direction, webhookUrl }, violations };
}

class Faults {
  readonly violations: Violation[] = [];

  unless(holds: boolean, field: string, description: string): void {
    if (!holds) this.add(field, description);
  }

  add(field: string, description: string): void {
    this.violations.push({ field, description });
  }
}

function readSubject(
  draft: AlertDraft["subject"],
  isAccount: boolean,
  faults: Faults,
): AlertSubject | undefined {
  switch (draft?.kind) {
    case undefined:
      faults.add("limit", "an alert watches a limit, usage, spend or a balance");
      return undefined;
    case "LIMIT":
      return readLimit(draft, faults);
    case "USAGE":
      return {
        kind: "USAGE",
        meter: draft.meter || REQUESTS,
        ...windowed("usage", draft, isAccount, faults),
      };
    case "SPEND":
      checkCurrency("spend", draft.currency, faults);
      return { kind: "SPEND", currency: draft.currency, ...windowed("spend", draft, isAccount, faults) };
    case "BALANCE": {
      checkCurrency("balance", draft.currency, faults);
      faults.unless(isAccount, "balance", "a key has no balance");
      const amount = amountOf("balance.amount", draft.amount, BigInt(-MOST_MICROS), faults);
      return { kind: "BALANCE", currency: draft.currency, amount };
    }
  }
}

function readLimit(
  { limit, share, amount }: Extract<AlertDraft["subject"], { kind: "LIMIT" }>,
  faults: Faults,
): AlertSubject {
  if (limit === "") faults.add("limit.limit", "is required");
  faults.violations.push(...nameViolations("limit.limit", limit));
  if (share !== undefined) {
    const shareMillionths = Math.round(share * MILLION);
    const holds = shareMillionths >= 1 && shareMillionths <= MAX_SHARE * MILLION;
    faults.unless(holds, "limit.share", `must be 0.000001 to ${MAX_SHARE}`);
    return { kind: "LIMIT", limitId: limit, threshold: { shareMillionths } };
  }
  if (amount === undefined) faults.add("limit.share", "a share or an amount is required");
  const units = amount === undefined ? 1 : amountOf("limit.amount", amount, 1n, faults);
  return { kind: "LIMIT", limitId: limit, threshold: { amount: units } };
}

function windowed(
  field: string,
  { amount, window, timeZone, descendants }: WindowedDraft,
  isAccount: boolean,
  faults: Faults,
) {
  const known = ALERT_WINDOWS.find((kind) => kind === window);
  faults.unless(known !== undefined, `${field}.window`, `must be one of ${ALERT_WINDOWS.join(", ")}`);
  const zoned = timeZone === "" || isTimeZone(timeZone);
  faults.unless(zoned, `${field}.time_zone`, "must be a time zone of the IANA database");
  faults.unless(isAccount || !descendants, `${field}.descendants`, "nothing is below a key");
  const checked = amountOf(`${field}.amount`, amount, 1n, faults);
  return { amount: checked, window: known ?? "DAY", timeZone: timeZone || "UTC", descendants } as const;
}

function checkCurrency(field: string, currency: string, faults: Faults): void {
  faults.unless(CURRENCY.test(currency), `${field}.currency`, "must be 1 to 20 of A-Z a-z 0-9 _ -");
}

function amountOf(field: string, value: bigint, least: bigint, faults: Faults): number {
  faults.unless(value >= least && value <= MOST_MICROS, field, `must be ${least} to ${MOST_MICROS}`);
  return Number(value);
}
