import { type AccountNode, isProvider, type KeyView, providerRulesOf } from "@gatehouse/access";
import type { Price } from "@gatehouse/buckets";
import { isId, mintId } from "@gatehouse/keys";
import { Failure } from "@gatehouse/service/failure";
import { type Actor, actorOf } from "./actor.ts";
import { Fields } from "./fields.ts";
import { isKnownMeter } from "./known-meter.ts";
import { REQUESTS } from "./limit.ts";
import { patternViolations } from "./limit-draft.ts";
import type { Mirror } from "./mirror.ts";
import { type Page, type PageDraft, pageOf, pageSizeViolations, TOKEN_VIOLATION } from "./page.ts";
import { isStorable } from "./storable.ts";

/** A price as it was asked for: nothing in it is checked. */
export interface PriceDraft {
  readonly meter: string;
  readonly resource: string;
  readonly plan: string;
  readonly accountType: string;
  readonly currency: string;
  readonly micros: bigint;
  /** 0: 1. */
  readonly perUnits: bigint;
  /** Undefined: now. */
  readonly effectiveAtMs: number | undefined;
}

/** Which prices are listed. */
export interface PriceFilter {
  /** Undefined: of every meter. */
  readonly meter: string | undefined;
  /** Undefined: of every plan; else those of this one, and those of any. */
  readonly plan: string | undefined;
}

export interface PriceTx {
  nowMs(): Promise<number>;
  /**
   * Terms (meter, resource, plan, type) that have prices; whether these are among them, and how many of theirs began
   * after `sinceMs` or are to begin.
   */
  terms(price: Price, sinceMs: number): Promise<{ count: number; has: boolean; recent: number }>;
  insert(price: Price): Promise<void>;
}

export interface PriceStore {
  /** As `PriceTx` reads it. */
  nowMs(): Promise<number>;
  /** Runs `work` with the prices to itself, and commits it with their change. It may run more than once. */
  mutate(actor: Actor, work: (tx: PriceTx) => Promise<Price>): Promise<{ value: Price; freshness: string }>;
  /** Latest set first, those before `beforeId`. */
  list(filter: PriceFilter, beforeId: string, count: number): Promise<readonly Price[]>;
}

export interface PriceDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: PriceStore;
}

/** Every replica of authz keeps all prices in memory; so many take it some megabytes. */
const MAX_TERMS = 10_000;
/** And of each so many, which are there for the last hour's calls or are to begin: replicas keep these all the same. */
const MAX_PRICES_PER_TERMS = 100;
const RECENT_MS = 3_600_000;
/** Ten million of a currency: hundreds of units at it cost less than 2^53, which is all that is counted. */
const MAX_PRICE = 10n ** 13n;
/** What is left of a micro is less than this, so thousands of reports at once may put theirs back together. */
const MAX_PER_UNITS = 10n ** 12n;
const MAX_NAME_LENGTH = 100;
/** A caller's clock may be this far behind. Further back is a time that calls were priced at. */
const SKEW_MS = 60_000;

/** Adds a price. Throws Failure INVALID_ARGUMENT, RESOURCE_EXHAUSTED (PLAN_LIMIT). */
export async function setPrice(
  { mirror, store }: PriceDependencies,
  caller: KeyView,
  draft: PriceDraft,
): Promise<{ price: Price; freshness: string }> {
  const meter = draft.meter || REQUESTS;
  const fields = fieldsOf(draft);
  if (!(await isKnownMeter(mirror, meter))) fields.wrong("meter", "no such meter");
  await checkTerms(mirror, caller.chain, draft, fields);
  await checkTime(store, draft, fields);
  fields.check();
  const { value, freshness } = await store.mutate(actorOf(caller), async (tx) => {
    const nowMs = await tx.nowMs();
    const { effectiveAtMs = nowMs } = draft;
    const { resource, plan, accountType, currency, micros, perUnits } = draft;
    const price: Price = {
      id: mintId("prc"),
      meter,
      resource,
      plan,
      accountType,
      currency,
      micros: Number(micros),
      perUnits: Number(perUnits || 1n),
      effectiveAtMs: Math.max(effectiveAtMs, nowMs),
    };
    const { count, has, recent } = await tx.terms(price, nowMs - RECENT_MS);
    if (!has && count >= MAX_TERMS) {
      throw tooMany(
        `there are prices for at most ${MAX_TERMS} combinations of meter, resource, plan and type`,
      );
    }
    if (recent >= MAX_PRICES_PER_TERMS) {
      throw tooMany(
        `at most ${MAX_PRICES_PER_TERMS} prices of the same terms are to begin, or began in the last hour`,
      );
    }
    await tx.insert(price);
    return price;
  });
  return { price: value, freshness };
}

/** Prices, latest set first: for the provider all, for others those that may apply to them. Throws Failure INVALID_ARGUMENT. */
export function listPrices(
  { store }: Pick<PriceDependencies, "store">,
  caller: KeyView,
  draft: PageDraft & { meter: string },
): Promise<Page<Price>> {
  const fields = new Fields();
  fields.text("meter", draft.meter);
  fields.violations.push(...pageSizeViolations(draft));
  if (draft.pageToken !== "" && !isId("prc", draft.pageToken)) fields.violations.push(TOKEN_VIOLATION);
  fields.check();
  const organization = caller.chain.at(-2);
  const filter = {
    meter: draft.meter === "" ? undefined : draft.meter,
    plan: isProvider(caller) ? undefined : (organization?.plan ?? ""),
  };
  return pageOf(
    draft,
    (count) => store.list(filter, draft.pageToken, count),
    ({ id }) => id,
  );
}

function fieldsOf(draft: PriceDraft): Fields {
  const { resource, currency, micros, perUnits } = draft;
  const fields = new Fields();
  if (resource !== "") fields.violations.push(...patternViolations(resource));
  fields.currency(currency);
  fields.amount("price", micros, 0n, MAX_PRICE);
  fields.amount("per_units", perUnits, 0n, MAX_PER_UNITS);
  return fields;
}

/** A price for a plan or a type that is not there would be in force for nobody. */
async function checkTerms(
  mirror: Pick<Mirror, "hasPlan">,
  chain: readonly AccountNode[],
  { plan, accountType }: PriceDraft,
  fields: Fields,
): Promise<void> {
  if (plan !== "" && !(isStorable(plan, MAX_NAME_LENGTH) && (await mirror.hasPlan(plan)))) {
    fields.wrong("plan", "no such plan");
  }
  if (accountType !== "" && !providerRulesOf(chain)?.types.has(accountType)) {
    fields.wrong("account_type", "no such account type");
  }
}

async function checkTime(store: Pick<PriceStore, "nowMs">, draft: PriceDraft, fields: Fields): Promise<void> {
  const effectiveAtMs = fields.time("effective_at", draft.effectiveAtMs);
  if (effectiveAtMs === undefined) return;
  fields.unless(effectiveAtMs >= (await store.nowMs()) - SKEW_MS, "effective_at", "must be now or later");
}

function tooMany(message: string): Failure {
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message });
}
