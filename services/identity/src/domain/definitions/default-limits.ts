import { allowanceFaults } from "@gatehouse/buckets";
import { parseScope, ScopeSyntaxError } from "@gatehouse/scopes";
import { invalid } from "@gatehouse/service/failure";
import type { Fields } from "../fields.ts";
import type { Change } from "../store.ts";
import type { DefaultLimit } from "./definition.ts";
import { REQUESTS } from "./meter.ts";

/** As many as a node has limits of its own: a call is charged to every one of them. */
const MAX_DEFAULT_LIMITS = 50;

/** Reads the limits of a plan. Whether their meters exist is the rule's to say. */
export function readDefaultLimits(
  fields: Fields,
  field: string,
  value: readonly DefaultLimit[],
): readonly DefaultLimit[] {
  if (value.length > MAX_DEFAULT_LIMITS) {
    fields.wrong(field, `must have at most ${MAX_DEFAULT_LIMITS} limits`);
  }
  const seen = new Set<string>();
  for (const [index, limit] of value.slice(0, MAX_DEFAULT_LIMITS).entries()) {
    const at = `${field}[${index}]`;
    checkPattern(fields, `${at}.resource`, limit.resource);
    fields.choice(`${at}.enforcement`, limit.enforcement, ["ENFORCE", "WARN"]);
    // What it was sent without.
    if (limit.allowance === undefined) fields.wrong(`${at}.rate`, "a limit has a rate or a quota");
    else {
      for (const fault of allowanceFaults(limit.allowance)) {
        fields.wrong(`${at}.${fault.field}`, fault.description);
      }
      const identity = identityOf(limit);
      if (seen.has(identity)) fields.wrong(at, "has the meter, resource, kind and window of one before it");
      seen.add(identity);
    }
  }
  return value;
}

/** Throws Failure INVALID_ARGUMENT for limits whose meters do not exist, unless they stand there already. */
export async function requireMeters(
  change: Change,
  rootId: string,
  limits: readonly DefaultLimit[],
  before: readonly DefaultLimit[] = [],
): Promise<void> {
  if (limits.length === 0) return;
  const meters = await change.definitions.list("meter", rootId);
  const known = new Set([
    REQUESTS.name,
    ...meters.map(({ name }) => name),
    ...before.map(({ meter }) => meter),
  ]);
  const violations = limits.flatMap(({ meter }, index) =>
    known.has(meter) ? [] : [{ field: `default_limits[${index}].meter`, description: "no such meter" }],
  );
  if (violations.length > 0) throw invalid(violations);
}

function checkPattern(fields: Fields, field: string, resource: string): void {
  if (resource === "") return;
  try {
    if (parseScope(resource).deny) fields.wrong(field, "a limit's pattern does not begin with !");
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    fields.wrong(field, error.reason);
  }
}

function identityOf({ meter, resource, allowance }: DefaultLimit): string {
  const refill = allowance.kind === "RATE" ? allowance.intervalMs : allowance.window;
  return JSON.stringify([meter, resource, allowance.kind, refill]);
}
