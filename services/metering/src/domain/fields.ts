import { isTimeZone } from "@gatehouse/buckets";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { CURRENCY, MOST_MICROS } from "./money.ts";
import { nameViolations } from "./node-in-reach.ts";
import { type PageDraft, pageSizeViolations, readToken, TOKEN_VIOLATION } from "./page.ts";
import { isStorable } from "./storable.ts";
import { isTime } from "./usage-span.ts";

const MAX_REFERENCE_LENGTH = 200;
const MAX_REASON_LENGTH = 500;

/** Collects what is wrong with a request, so that all of it is named at once. */
export class Fields {
  readonly violations: Violation[] = [];

  /** The name of an account, which is looked up later. */
  account(field: string, name: string, { isRequired = true } = {}): void {
    if (name === "" && isRequired) this.wrong(field, "is required");
    this.violations.push(...nameViolations(field, name));
  }

  amount(field: string, value: bigint, least: bigint, most = BigInt(MOST_MICROS)): void {
    this.unless(value >= least && value <= most, field, `must be ${least} to ${most}`);
  }

  currency(value: string, { field = "currency", isRequired = true } = {}): void {
    if (value === "" && !isRequired) return;
    this.unless(CURRENCY.test(value), field, "must be 1 to 20 of A-Z a-z 0-9 _ -");
  }

  /** Undefined for none, and for one that is wrong. */
  time(field: string, ms: number | undefined): number | undefined {
    if (ms === undefined || isTime(ms)) return ms;
    this.wrong(field, "must be between the years 1970 and 2200");
    return undefined;
  }

  /** Empty: UTC. */
  timeZone(field: string, zone: string): void {
    this.unless(zone === "" || isTimeZone(zone), field, "must be a time zone of the IANA database");
  }

  /** Text that is kept and shown, such as a reference or an idempotency key. */
  text(field: string, value: string, maxLength = MAX_REFERENCE_LENGTH): void {
    const isGood = isStorable(value, maxLength) && value.isWellFormed();
    this.unless(isGood, field, `must be at most ${maxLength} characters of well-formed text without NUL`);
  }

  reason(value: string): void {
    if (value === "") this.wrong("reason", "is required");
    this.text("reason", value, MAX_REASON_LENGTH);
  }

  /** What a page begins after; undefined for the first page, and for what is no token. */
  page(draft: PageDraft, isValid: (texts: readonly string[]) => boolean): readonly string[] | undefined {
    this.violations.push(...pageSizeViolations(draft));
    const after = readToken(draft.pageToken, isValid);
    if (after !== "INVALID") return after;
    this.violations.push(TOKEN_VIOLATION);
    return undefined;
  }

  unless(holds: boolean, field: string, description: string): void {
    if (!holds) this.wrong(field, description);
  }

  wrong(field: string, description: string): void {
    this.violations.push({ field, description });
  }

  /** Throws Failure INVALID_ARGUMENT. */
  check(): void {
    if (this.violations.length > 0) throw invalid(this.violations);
  }
}
