import type { Violation } from "@gatehouse/service/failure";
import { CURRENCY, MOST_MICROS } from "./money.ts";
import { nameViolations } from "./node-in-reach.ts";
import { isStorable } from "./storable.ts";
import { isTime } from "./usage-span.ts";

const MAX_REFERENCE_LENGTH = 200;
const MAX_REASON_LENGTH = 500;

/** Collects what is wrong with a request about money, so that all of it is named at once. */
export class MoneyFields {
  readonly violations: Violation[] = [];

  /** The name of an account, which is looked up later. */
  account(field: string, name: string, { isRequired = true } = {}): void {
    if (name === "" && isRequired) this.wrong(field, "is required");
    this.violations.push(...nameViolations(field, name));
  }

  amount(field: string, value: bigint, least: bigint, most = BigInt(MOST_MICROS)): void {
    if (value >= least && value <= most) return;
    this.wrong(field, `must be ${least} to ${most}`);
  }

  currency(value: string, { isRequired = true } = {}): void {
    if (value === "" && !isRequired) return;
    if (!CURRENCY.test(value)) this.wrong("currency", "must be 1 to 20 of A-Z a-z 0-9 _ -");
  }

  time(field: string, ms: number | undefined): void {
    if (ms !== undefined && !isTime(ms)) this.wrong(field, "must be between the years 1970 and 2200");
  }

  /** Text that is kept and shown, such as a reference or an idempotency key. */
  text(field: string, value: string, maxLength = MAX_REFERENCE_LENGTH): void {
    if (isStorable(value, maxLength) && value.isWellFormed()) return;
    this.wrong(field, `must be at most ${maxLength} characters of well-formed text without NUL`);
  }

  reason(value: string): void {
    if (value === "") this.wrong("reason", "is required");
    this.text("reason", value, MAX_REASON_LENGTH);
  }

  wrong(field: string, description: string): void {
    this.violations.push({ field, description });
  }
}
