import { METER_NAME } from "@gatehouse/access";
import { decodeFreshness, type Freshness } from "@gatehouse/changefeed";
import type { VerifyRequest } from "@gatehouse/proto/authz";
import { isResource } from "@gatehouse/scopes";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { Need } from "../domain/lease-source.ts";
import type { VerifyCall } from "../domain/verify.ts";

const MAX_KEY_LENGTH = 4096;
const MAX_ACCOUNT_LENGTH = 200;
const MAX_CHARGES = 16;
const MAX_TOKENS = 8;
const MAX_REQUEST_ID_LENGTH = 100;
/** A thousand such charges in one minute of one series still fit the 64 bits of a usage row. */
const MAX_UNITS = 2 ** 48;

/** An account id, a slug, or the provider's `org/sub`. */
const ACCOUNT = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)?$/;
const ONE_REQUEST: readonly Need[] = [{ meter: "requests", units: 1 }];
const NO_TOKENS: readonly Freshness[] = [];

/** Reads a request. Throws Failure INVALID_ARGUMENT naming every bad field; `at` is put before their names. */
export function verifyCall(request: VerifyRequest, at = ""): VerifyCall {
  const bad: Violation[] = [];
  const field = (name: string, description: string) => bad.push({ field: at + name, description });
  const { key, resource, account, requestId } = request;
  if (key === "") field("key", "is required");
  if (key.length > MAX_KEY_LENGTH) field("key", `is longer than ${MAX_KEY_LENGTH} characters`);
  if (resource !== "" && !isResource(resource)) {
    field("resource", "must be segments of letters, digits, - and _, joined by dots");
  }
  if (account !== "" && (account.length > MAX_ACCOUNT_LENGTH || !ACCOUNT.test(account))) {
    field("account", "must be an account id or a slug");
  }
  if (requestId.length > MAX_REQUEST_ID_LENGTH) {
    field("request_id", `is longer than ${MAX_REQUEST_ID_LENGTH} characters`);
  }
  const needs = request.charges.length === 0 ? ONE_REQUEST : needsOf(request, field);
  const atLeastAsFresh = request.atLeastAsFresh.length === 0 ? NO_TOKENS : tokensOf(request, field);
  if (bad.length > 0) throw invalid(bad);
  return { presented: key, resource, account, needs, atLeastAsFresh, at };
}

function needsOf({ charges }: VerifyRequest, field: (name: string, description: string) => void): Need[] {
  if (charges.length > MAX_CHARGES) field("charges", `has more than ${MAX_CHARGES} entries`);
  const needs = charges.slice(0, MAX_CHARGES).map(({ meter, units }, i) => {
    if (!METER_NAME.test(meter)) field(`charges[${i}].meter`, "must be the name of a meter");
    if (units < 0n || units > BigInt(MAX_UNITS)) {
      field(`charges[${i}].units`, `must be from 0 to ${MAX_UNITS}`);
    }
    return { meter, units: Number(units) };
  });
  const meters = new Set(needs.map(({ meter }) => meter));
  if (meters.size < needs.length) field("charges", "names a meter twice");
  return meters.has("requests") || isPeek(needs) ? needs : [...needs, ...ONE_REQUEST];
}

// A call whose units are all 0 is a peek, and charges no request either.
function isPeek(needs: readonly Need[]): boolean {
  return needs.every(({ units }) => units === 0);
}

function tokensOf(
  { atLeastAsFresh }: VerifyRequest,
  field: (name: string, description: string) => void,
): Freshness[] {
  if (atLeastAsFresh.length > MAX_TOKENS) field("at_least_as_fresh", `has more than ${MAX_TOKENS} entries`);
  return atLeastAsFresh.slice(0, MAX_TOKENS).flatMap((text, i) => {
    const token = decodeFreshness(text);
    if (token === undefined) field(`at_least_as_fresh[${i}]`, "is not a freshness token");
    return token ?? [];
  });
}
