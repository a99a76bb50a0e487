import { MAX_SCOPES, scopeListErrors } from "@gatehouse/scopes";
import { invalid, type Violation } from "@gatehouse/service/failure";
import { SLUG_PATTERN, SLUG_RULE } from "./accounts/slug.ts";
import { decodePageToken } from "./page-token.ts";
import type { Page } from "./store.ts";

export const MAX_LABELS = 32;
const MAX_LABEL_KEY = 63;
const MAX_LABEL_VALUE = 255;
export const MAX_ROLES_OF_A_KEY = 20;
export const MAX_PAGE_SIZE = 500;
const DEFAULT_PAGE_SIZE = 100;
/** Longer than any id, slug or `org/sub`. */
const MAX_REFERENCE = 130;
const MAX_IDEMPOTENCY_KEY = 100;
/** More than any message has fields. */
const MAX_MASK = 50;
/** The last millisecond that fits a Timestamp. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Embeddings, overrides and isolates: they make a line read other than it is written. */
const BIDI_CONTROL = /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/;
/** Letters, marks, numbers, punctuation and symbols, but for those that are drawn as nothing. */
const VISIBLE = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{M}\p{N}\p{P}\p{S}]/u;

/** Reads the fields of one request and collects what is wrong with them, so that all of it is said at once. */
export class Fields {
  /** By field: one fault of each is enough to go by. */
  readonly #violations = new Map<string, Violation>();

  /** Throws Failure INVALID_ARGUMENT naming every bad field, if any. */
  check(): void {
    if (this.areFaulty) throw invalid([...this.#violations.values()]);
  }

  wrong(field: string, description: string): void {
    if (!this.isWrong(field)) this.#violations.set(field, { field, description });
  }

  get areFaulty(): boolean {
    return this.#violations.size > 0;
  }

  /** What is wrong already is not to be looked up. */
  isWrong(field: string): boolean {
    return this.#violations.has(field);
  }

  /**
   * Text of so many characters (code points), without control characters, halves of surrogate pairs, or what makes a
   * name look like another. Right-to-left scripts are letters like all others.
   */
  text(field: string, value: string, { min = 0, max }: { min?: number; max: number }): string {
    if (value === "" && min > 0) this.wrong(field, "is required");
    // The first comparison spares counting the characters of a megabyte.
    else if (value.length > 2 * max || [...value].length > max)
      this.wrong(field, `must have at most ${max} characters`);
    else if (/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(value)) this.wrong(field, "must not have control characters");
    else if (BIDI_CONTROL.test(value))
      this.wrong(field, "must not have characters that turn the text around");
    else if (value !== "" && !VISIBLE.test(value))
      this.wrong(field, "must have a character that can be seen");
    else if (value !== value.trim()) this.wrong(field, "must not begin or end with a space");
    return value;
  }

  /** Text that must match a pattern as a whole; `rule` says the pattern in words. */
  pattern(field: string, value: string, pattern: RegExp, rule: string): string {
    if (value === "") this.wrong(field, "is required");
    else if (!pattern.test(value)) this.wrong(field, `must be ${rule}`);
    return value;
  }

  keyName(field: string, value: string): string {
    this.pattern(field, value, /^[A-Za-z0-9 _-]{1,50}$/, "1 to 50 of letters, digits, space, - and _");
    return this.text(field, value, { min: 1, max: 50 });
  }

  /** The name of an account or key that the request refers to: bounded here, looked up later. */
  reference(field: string, value: string, { required = false } = {}): string | undefined {
    this.text(field, value, { min: required ? 1 : 0, max: MAX_REFERENCE });
    return value || undefined;
  }

  /** Absent, one of the choices, or wrong. */
  choice<T extends string>(field: string, value: string | undefined, choices: readonly T[]): T | undefined {
    const chosen = choices.find((choice) => choice === value);
    if (value !== undefined && chosen === undefined) {
      this.wrong(field, `must be one of ${choices.join(", ")}`);
    }
    return chosen;
  }

  labels(field: string, value: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const entries = Object.entries(value);
    if (entries.length > MAX_LABELS) this.wrong(field, `must have at most ${MAX_LABELS} labels`);
    for (const [key, text] of entries.slice(0, MAX_LABELS)) {
      if (key === "") this.wrong(field, "must have no empty label key");
      this.text(`${field}[${JSON.stringify(key.slice(0, MAX_LABEL_KEY))}]`, key, { max: MAX_LABEL_KEY });
      this.text(`${field}[${JSON.stringify(key.slice(0, MAX_LABEL_KEY))}]`, text, { max: MAX_LABEL_VALUE });
    }
    return value;
  }

  /** Whether they are roles is known once it is known of which account; see `judgeRoles`. */
  roles(field: string, value: readonly string[]): readonly string[] {
    if (value.length > MAX_ROLES_OF_A_KEY) this.wrong(field, `must have at most ${MAX_ROLES_OF_A_KEY} roles`);
    for (const [index, role] of value.slice(0, MAX_ROLES_OF_A_KEY).entries()) {
      this.pattern(`${field}[${index}]`, role, SLUG_PATTERN, SLUG_RULE);
    }
    return [...new Set(value)];
  }

  scopes(field: string, value: readonly string[]): readonly string[] {
    for (const { index, reason } of scopeListErrors(value.slice(0, MAX_SCOPES + 1))) {
      this.wrong(index === undefined ? field : `${field}[${index}]`, reason);
    }
    return value;
  }

  /** Unix milliseconds; not a number where the message's parts were out of range. */
  time(field: string, value: number | undefined): number | undefined {
    if (value !== undefined && !(value >= 0 && value <= LAST_MS)) {
      this.wrong(field, "must be a time from 1970 to 9999");
    }
    return value;
  }

  /**
   * What an update changes: what its mask names, or without one what is given.
   * `known` are the fields that can be changed, as the proto names them.
   */
  mask(paths: readonly string[], known: readonly string[], given: readonly string[]): ReadonlySet<string> {
    for (const path of paths.slice(0, MAX_MASK)) {
      if (!known.includes(path)) this.wrong("update_mask", `can name ${known.join(", ")}`);
    }
    if (paths.length > MAX_MASK) this.wrong("update_mask", `must name at most ${MAX_MASK} fields`);
    const changed = new Set(paths.length === 0 ? given : paths);
    if (changed.size === 0) this.wrong("update_mask", "and the fields that it names leave nothing to change");
    return changed;
  }

  idempotencyKey(field: string, value: string): string | undefined {
    this.text(field, value, { max: MAX_IDEMPOTENCY_KEY });
    return value || undefined;
  }

  /** `filter` is what the token is bound to: a token continues the list that it came from, and no other. */
  page(pageSize: number, pageToken: string, filter: unknown): Page {
    if (pageSize < 0 || pageSize > MAX_PAGE_SIZE)
      this.wrong("page_size", `must be 1 to ${MAX_PAGE_SIZE}, or 0 for ${DEFAULT_PAGE_SIZE}`);
    const after = pageToken === "" ? "" : decodePageToken(pageToken, filter);
    if (after === undefined) this.wrong("page_token", "must be the next_page_token of the same list");
    return { after: after ?? "", limit: pageSize || DEFAULT_PAGE_SIZE };
  }
}
