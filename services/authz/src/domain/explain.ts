import { isInSubtree, type KeyView, stateOfChain } from "@gatehouse/access";
import type { Clock } from "@gatehouse/changefeed";
import type { KeyFormat } from "@gatehouse/keys";
import type { CatalogBook } from "./catalog-book.ts";
import { ChargePath } from "./charge-path.ts";
import { type Decision, reasons } from "./decision.ts";
import {
  type BucketSource,
  codeOf,
  decidingBucket,
  type MetBucket,
  metBuckets,
  scarcest,
} from "./explain-buckets.ts";
import { checkWords, type Examined } from "./explain-checks.ts";
import { metWallets } from "./explain-wallets.ts";
import { CHECKS, type Check, type CheckCode, type Explanation } from "./explanation.ts";
import { findTarget } from "./find-target.ts";
import type { Proven } from "./freshness-gate.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { LeasePool } from "./lease-pool.ts";
import type { Need } from "./lease-source.ts";
import type { Prices } from "./price-book.ts";
import { Sight } from "./sight.ts";
import type { Signatures } from "./signatures.ts";
import type { Verifier } from "./verify.ts";
import type { VerifyCall } from "./verify-call.ts";

/**
 * Says what Verify would answer, and why. What it is, Verify itself decides: a verifier that leaves no trace is asked
 * for all that comes before the limits, metering for the buckets. Then each check is put into words. So the words may be
 * too general where something changes in between, but the answer is Verify's.
 *
 * P7: of a key out of the verifier's sight it says what it says of none. Of accounts above the verifier's own, that
 * they decided, and nothing else: no ids, names, patterns or numbers.
 */

export interface ExplainerOptions {
  /** Decides without charging, counting or noting anything. */
  readonly verifier: Verifier;
  readonly format: KeyFormat;
  readonly cache: IdentityCache;
  readonly catalog: CatalogBook;
  readonly buckets: BucketSource;
  readonly pool: Pick<LeasePool, "inHand" | "bucket" | "tellRates">;
  readonly prices: Prices;
  readonly signatures: Pick<Signatures, "faultOf">;
  readonly meteringProof: Pick<Proven, "ageMs">;
  /** As Verify has it. */
  readonly limitsStalenessMaxMs: number;
  readonly clock: Clock;
  /** The state of identity that the cache rests on. */
  readonly identityFreshness: () => string;
}

/** The word for a limit that is on an account above the verifier's. */
const ABOVE = "above";
/** The word for a wallet that there is none of. */
const NO_WALLET = "CREDIT_EXHAUSTED";
const NO_NEEDS: readonly Need[] = [];

export class Explainer {
  readonly #options: ExplainerOptions;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** Throws Failure like Verify. */
  async explain(call: VerifyCall, verifier: KeyView): Promise<Explanation> {
    const first = await this.#peek(call, verifier);
    if (first.code !== "VALID") return this.#explained(first, call, verifier, undefined);
    const met = await this.#met(first, call);
    // Again, because the buckets were waited for.
    const decision = await this.#peek(call, verifier);
    return this.#explained(decision, call, verifier, decision.code === "VALID" ? met : undefined);
  }

  /** What is said where not even the verifier is known for sure. */
  undecided(): Explanation {
    const decision = { ...this.#options.verifier.undecided(), decisionId: "" };
    return { decision, decidedBy: "", checks: unknownKey(), buckets: [] };
  }

  async #peek(call: VerifyCall, verifier: KeyView): Promise<Decision> {
    const decision = await this.#options.verifier.verify({ ...call, needs: NO_NEEDS }, verifier);
    return { ...decision, decisionId: "" };
  }

  /** "unknown" where metering cannot be asked, or its limits are too old to charge by. */
  async #met(decision: Decision, call: VerifyCall): Promise<readonly MetBucket[] | "unknown"> {
    const { buckets, pool, prices, clock, identityFreshness } = this.#options;
    const { meteringProof, limitsStalenessMaxMs } = this.#options;
    if (meteringProof.ageMs(clock.now()) > limitsStalenessMaxMs) return "unknown";
    const { resource } = this.#resourceOf(call);
    const { nodeIds } = new ChargePath(decision.entry!, decision.target!, resource);
    try {
      await pool.tellRates(nodeIds);
      const request = { nodeIds, resource, identityFreshness: identityFreshness() };
      const readings = await buckets.readBuckets(request);
      const met = metBuckets(readings.buckets, call.needs, pool, clock.now());
      if (!prices.isUsable(clock.now().wallMs)) await prices.fill(() => clock.now().wallMs);
      const { needs } = call;
      return [
        ...met,
        ...metWallets(readings.money, decision.target!, resource, needs, prices, pool, clock.now()),
      ];
    } catch {
      return "unknown";
    }
  }

  #explained(
    decision: Decision,
    call: VerifyCall,
    verifier: KeyView,
    met: readonly MetBucket[] | "unknown" | undefined,
  ): Explanation {
    if (decision.code === "NOT_FOUND") {
      return { decision, decidedBy: "NOT_FOUND", checks: [this.#notFound(call, verifier)], buckets: [] };
    }
    const { entry, target } = decision;
    if (entry === undefined || target === undefined) {
      return { decision, decidedBy: "", checks: unknownKey(), buckets: [] };
    }
    const sight = new Sight(verifier, [entry.key, entry.parent], [entry.accounts, target]);
    const nowMs = this.#options.clock.now().wallMs;
    const asked = { call, entry, target, sight, nowMs, http: call.http, ...this.#resourceOf(call) };
    const checks = this.#checks(decision, asked);
    if (met === "unknown") return { decision: withoutLimits(decision), decidedBy: "", checks, buckets: [] };
    const decidedBy = isCheck(decision.code) ? decision.code : "";
    if (met === undefined) {
      const isAllMade = !checks.some(({ outcome }) => outcome === "UNKNOWN" || outcome === "FAILED");
      const reason = isAllMade ? UPSTREAM_SEALED : decision.reason;
      return { decision: { ...decision, reason }, decidedBy, checks, buckets: [] };
    }
    const buckets = met.filter(({ limit }) => sight.sees(limit.nodeId));
    const deciding = decidingBucket(met);
    if (deciding === undefined) {
      return { decision: admitted(decision, buckets, met), decidedBy, checks, buckets };
    }
    const isSeen = sight.sees(deciding.limit.nodeId);
    return {
      decision: refused(decision, deciding, isSeen, nowMs),
      decidedBy: deciding.outcome === "UNKNOWN" ? "" : isSeen ? deciding.limit.id || NO_WALLET : ABOVE,
      checks,
      buckets,
    };
  }

  #resourceOf({ http, resource }: VerifyCall): { resource: string; endpointName: string | undefined } {
    if (http === undefined) return { resource, endpointName: undefined };
    const endpoint = this.#options.catalog.endpointOf(http.method, http.path);
    return { resource: endpoint?.resource ?? "", endpointName: endpoint?.name };
  }

  #checks(decision: Decision, examined: Examined): Check[] {
    const { code } = decision;
    const decidedAt = isCheck(code) ? CHECKS.indexOf(code) : CHECKS.length;
    const unknown = code === "INDETERMINATE" ? this.#unknownCheck(examined) : undefined;
    const unknownAt = unknown === undefined ? CHECKS.length : CHECKS.indexOf(unknown.code);
    // The state of an account that was named is looked at when it was found.
    const isOfTarget = code.startsWith("ACCOUNT_") && stateOfChain(examined.entry.accounts) === "VALID";
    const reached = isOfTarget ? CHECKS.indexOf("TARGET_NOT_FOUND") : Math.min(decidedAt, unknownAt);
    return CHECKS.map((each, i): Check => {
      if (each === code) return { code: each, outcome: "FAILED", ...checkWords[each].failed(examined) };
      if (i === unknownAt) return unknown!;
      if (i > reached) return notReached(each);
      const absent = checkWords[each].absent?.(examined);
      if (absent !== undefined)
        return { code: each, outcome: "NOT_APPLICABLE", nodeId: undefined, detail: absent };
      return { code: each, outcome: "PASSED", ...checkWords[each].passed(examined) };
    });
  }

  /** What an undecided call about a known key could not be told; undefined where all checks were made. */
  #unknownCheck({ entry, call, nowMs }: Examined): Check | undefined {
    const { cache, catalog, signatures } = this.#options;
    const { signed } = call;
    const { signing } = entry.key;
    if (signed !== undefined && signing !== undefined) {
      const now = { ...this.#options.clock.now(), wallMs: nowMs };
      const fault = signatures.faultOf(entry, signing, signed, now);
      if (fault?.code === "INDETERMINATE") return unknownOf("SIGNATURE_INVALID", SIGNATURE_UNKNOWN);
    }
    if (call.http !== undefined && !catalog.isFilled) return unknownOf("TERMS_REQUIRED", UNREACHABLE);
    if (findTarget(cache, entry, call.account) === "unknown") {
      return unknownOf("TARGET_NOT_FOUND", UNREACHABLE);
    }
    return undefined;
  }

  // What was once the key's secret has its tag: who presents that, and sees the key, is told what became of it.
  #notFound({ presented, signed }: VerifyCall, verifier: KeyView): Check {
    const { format, cache } = this.#options;
    const keyId = signed?.keyId ?? format.parse(presented)?.keyId;
    const isShown = signed !== undefined || format.authentic(presented);
    const entry = keyId === undefined || !isShown ? undefined : cache.key(keyId);
    if (entry === undefined || !isInSubtree(verifier, entry.accounts)) {
      return { code: "NOT_FOUND", outcome: "FAILED", nodeId: undefined, detail: NO_KEY };
    }
    const { key, parent } = entry;
    const revoked = [key, parent].find((each) => each?.status === "REVOKED");
    const otherwise =
      signed === undefined
        ? `the key "${key.name}" has another secret by now`
        : `the key "${key.name}" is presented, it does not sign`;
    const detail = revoked === undefined ? otherwise : `the key "${revoked.name}" was revoked`;
    return { code: "NOT_FOUND", outcome: "FAILED", nodeId: (revoked ?? key).id, detail };
  }
}

const NO_KEY = "no such key in the verifier's sight: unknown, mistyped, revoked, or of another organization";
const UNREACHABLE = "identity cannot be asked about this now";
const SIGNATURE_UNKNOWN =
  "the key's secret does not open here, or this replica does not remember what it admitted at that time";
const UPSTREAM_SEALED = "all checks are passed, but the account's upstream credential does not open here";
const LIMITS_UNKNOWN =
  "metering cannot be asked for the limits now; Verify goes on with units in hand for a minute at most";

function isCheck(code: string): code is CheckCode {
  return (CHECKS as readonly string[]).includes(code);
}

function unknownKey(): Check[] {
  return CHECKS.map((code, i) => (i === 0 ? unknownOf(code, UNREACHABLE) : notReached(code)));
}

function unknownOf(code: CheckCode, detail: string): Check {
  return { code, outcome: "UNKNOWN", nodeId: undefined, detail };
}

function notReached(code: CheckCode): Check {
  return { code, outcome: "NOT_REACHED", nodeId: undefined, detail: "" };
}

function withoutLimits(decision: Decision): Decision {
  return { ...decision, code: "INDETERMINATE", reason: LIMITS_UNKNOWN };
}

function admitted(decision: Decision, seen: readonly MetBucket[], met: readonly MetBucket[]): Decision {
  const least = scarcest(seen);
  const warnings = seen.filter(({ outcome }) => outcome === "FAILED").map(({ limit }) => limit.id);
  const binding = least && {
    limit: least.limit,
    remaining: least.left - least.units,
    resetsAtMs: least.resetsAtMs,
  };
  const wallets = met.filter(({ limit }) => limit.kind === "wallet");
  const cost = wallets.map(({ limit, units }) => ({ currency: limit.currency!, micros: units }));
  return { ...decision, warnings, binding, cost: cost.length === 0 ? undefined : cost };
}

function refused(decision: Decision, deciding: MetBucket, isSeen: boolean, nowMs: number): Decision {
  const { limit, left, resetsAtMs, retryAfterMs } = deciding;
  const code = codeOf(deciding);
  const resets = resetsAtMs ?? (retryAfterMs === undefined ? undefined : nowMs + retryAfterMs);
  const binding = isSeen && limit.id !== "" ? { limit, remaining: left, resetsAtMs: resets } : undefined;
  return { ...decision, code, reason: reasons[code], binding, retryAfterMs };
}
