import {
  isAddressAllowed,
  isEndpointAllowed,
  isIntegrationAllowed,
  type KeyView,
  stateOf,
  stateOfChain,
  termsRequired,
} from "@gatehouse/access";
import type { KeyFormat } from "@gatehouse/keys";
import type { Attempt } from "./attempt.ts";
import type { CatalogBook } from "./catalog-book.ts";
import { ChargePaths } from "./charge-path.ts";
import { Charger, type ChargerOptions } from "./charger.ts";
import { Credentials } from "./credentials.ts";
import type { Decision } from "./decision.ts";
import { type DecisionCounts, Decisions } from "./decisions.ts";
import { entryOf, isDoubted, type KeyEntry } from "./entry.ts";
import { findTarget, organizationOf } from "./find-target.ts";
import { FreshnessCheck, type FreshnessCheckOptions } from "./freshness-check.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { IdentityReader } from "./identity-reader.ts";
import { isUndecided, noEndpoint, notFound, type Refusal, undecidable, undecidableFor } from "./refusal.ts";
import { seenBy } from "./seen-limits.ts";
import type { Signatures } from "./signatures.ts";
import { during, noteDecision, type Trace } from "./trace.ts";
import type { UpstreamHeaders } from "./upstream-header.ts";
import type { VerifyCall } from "./verify-call.ts";
import { type Wait, whenRead } from "./wait.ts";
import { type Caller, Waiters } from "./waiters.ts";

/**
 * The hot path. `attempt` decides synchronously from what is in memory and charges (charger.ts); where something is
 * missing it says what, and `verify` waits for that and attempts the whole again. Nothing that was looked at before a
 * wait is relied on after it: a key revoked meanwhile is refused, units that another call took meanwhile are acquired
 * anew.
 *
 * The first check that fails decides. They come in the order of the API's DecisionCode; of signed calls: docs/authz.md.
 */

export interface VerifierOptions extends FreshnessCheckOptions, ChargerOptions {
  readonly format: KeyFormat;
  readonly cache: IdentityCache;
  readonly identity: IdentityReader;
  readonly catalog: CatalogBook;
  readonly signatures: Pick<Signatures, "faultOf" | "checkInVain" | "prepare" | "claim" | "admitted">;
  readonly upstream: Pick<UpstreamHeaders, "of">;
}

/** Each wait can uncover the next thing missing: freshness, key, catalog, target, nonce, limits, units; a race on each. */
const MAX_ATTEMPTS = 15;

export class Verifier {
  readonly #options: VerifierOptions;
  readonly #decisions: Decisions;
  readonly #credentials: Credentials;
  readonly #freshness: FreshnessCheck;
  readonly #charger: Charger;
  readonly #paths = new ChargePaths();
  readonly waiters = new Waiters();

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#decisions = new Decisions(options);
    this.#credentials = new Credentials(options);
    this.#freshness = new FreshnessCheck(options);
    this.#charger = new Charger(options, this.#decisions);
  }

  /**
   * Decides a call on behalf of a verifier, who sees its own subtree. Where everything is at hand the decision
   * is there at once; it may be answered once the journal has this turn's writes.
   * Throws Failure FAILED_PRECONDITION (FRESHNESS_UNREACHABLE), and CANCELLED where the caller left, from a promise.
   */
  verify(call: VerifyCall, verifier: KeyView, caller?: Caller): Decision | Promise<Decision> {
    const first = this.#attempt(call, verifier);
    const made = typeof first === "function" ? this.#verifyLater(call, verifier, first, caller) : first;
    const decision = seenBy(verifier, made, this.#options.pool);
    // The calls of a batch have one span, and no room on it for what became of each.
    if (call.trace !== undefined && call.at === "") noteDecision(call.trace, decision);
    return decision;
  }

  get counts(): DecisionCounts {
    return this.#decisions.counts;
  }

  /** The answer where not even the verifier is known for sure, or the call is not looked at. */
  undecided(refusal: Refusal = undecidable): Decision {
    return this.#decisions.make(this.#options.clock.now(), refusal, "");
  }

  async #verifyLater(call: VerifyCall, verifier: KeyView, first: Wait, caller?: Caller): Promise<Decision> {
    let wait = first;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const refusal = await this.waiters.hold(wait, call, caller);
      const next = this.#attempt(call, verifier, refusal);
      if (typeof next !== "function") return next;
      wait = next;
    }
    return this.#decisions.make(this.#options.clock.now(), undecidableFor("attempts"), call.resource);
  }

  #attempt(call: VerifyCall, verifier: KeyView, refusal?: Refusal): Decision | Wait {
    const { cache, activity, clock } = this.#options;
    const now = clock.now();
    const attempt: Attempt = { call, verifier, now, refusal };
    const asking = entryOf(verifier);
    if (asking !== undefined) activity.used(asking, now.wallMs);
    const keyId = this.#credentials.keyIdOf(call);
    if (keyId === undefined && !cache.mayBeImported(call.presented)) {
      return this.#decisions.make(now, notFound, call.resource);
    }
    const freshness = this.#freshness.of(call, refusal, now);
    if (freshness !== undefined) {
      return typeof freshness === "function"
        ? freshness
        : this.#decisions.make(now, freshness, call.resource);
    }
    const entry = this.#credentials.entryOf(keyId, call);
    if (entry === undefined) return this.#missing(keyId, attempt);
    const fault = this.#credentials.faultOf(entry, call, verifier, now);
    if (fault !== undefined) return this.#decisions.make(now, fault, call.resource, entry);
    const state = stateOf(entry, now.wallMs);
    if (state !== "VALID") return this.#decisions.make(now, { code: state }, call.resource, entry);
    return this.#attemptFor(entry, attempt);
  }

  #missing(keyId: string | undefined, attempt: Attempt): Decision | Wait {
    const { call, now } = attempt;
    if (this.#credentials.isNone(keyId, call)) {
      return this.#decisions.make(now, this.#credentials.none(call, now), call.resource);
    }
    return this.#whenRead(attempt, call.resource, undefined, (trace) =>
      this.#credentials.read(keyId, call, trace),
    );
  }

  // Nobody waits for what the wait before, or others, found out already: that identity does not answer.
  #whenRead(
    { now, refusal }: Attempt,
    resource: string,
    entry: KeyEntry | undefined,
    read: (trace: Trace | undefined) => Promise<void>,
  ): Decision | Wait {
    if (isUndecided(refusal)) return this.#decisions.make(now, refusal, resource, entry);
    if (this.#options.identityGate.unreachable) {
      return this.#decisions.make(now, undecidable, resource, entry);
    }
    return (trace) => whenRead(read(trace));
  }

  // For a living key, which was presented to somebody who may see it, or signed the call.
  #attemptFor(entry: KeyEntry, attempt: Attempt): Decision | Wait {
    const { cache, catalog, identity, identityProof, identityGate } = this.#options;
    const { call, verifier, now, refusal } = attempt;
    const { http, account } = call;
    if (http !== undefined && !catalog.isFilled) {
      return this.#whenRead(attempt, "", entry, (trace) =>
        during(trace, "read catalog", () => catalog.fill()),
      );
    }
    const endpoint = http && catalog.endpointOf(http.method, http.path);
    const resource = endpoint === undefined ? call.resource : endpoint.resource;
    if (termsRequired(entry.accounts, resource || undefined) !== undefined) {
      return this.#decisions.make(now, { code: "TERMS_REQUIRED" }, resource, entry);
    }
    const target = findTarget(cache, entry, account);
    if (target === "none") return this.#decisions.make(now, { code: "TARGET_NOT_FOUND" }, resource, entry);
    if (target === "unknown") {
      const { accountId } = entry.key;
      return this.#whenRead(attempt, resource, entry, (trace) =>
        identity.readTarget(organizationOf(entry), account, accountId, trace),
      );
    }
    if (isDoubted(entry, target, identityProof.provenProof) && !identityGate.unreachable) {
      const proof = this.#freshness.proofUnless(refusal);
      return typeof proof === "function" ? proof : this.#decisions.make(now, proof, resource, entry);
    }
    const state = target === entry.accounts ? "VALID" : stateOfChain(target);
    if (state !== "VALID") return this.#decisions.make(now, { code: state }, resource, entry, target);
    if (!isAddressAllowed(entry, call.address)) {
      return this.#decisions.make(now, { code: "ADDRESS_DENIED" }, resource, entry, target);
    }
    if (!isIntegrationAllowed(entry, call.integration)) {
      return this.#decisions.make(now, { code: "INTEGRATION_DENIED" }, resource, entry, target);
    }
    if (http !== undefined && endpoint === undefined) {
      return this.#decisions.make(now, noEndpoint(http), resource, entry, target);
    }
    const path = this.#paths.of(entry, target, resource);
    const isCallable = endpoint === undefined || isEndpointAllowed(entry, endpoint.name);
    if (!isCallable || !path.isAllowed) {
      return this.#decisions.make(now, { code: "SCOPE_DENIED" }, resource, entry, target);
    }
    const upstream = this.#options.upstream.of(target, verifier);
    if (upstream === "sealed") {
      return this.#decisions.make(now, undecidableFor("signing"), resource, entry, target);
    }
    const decided = this.#charger.charge(entry, path, attempt);
    if (upstream === undefined || typeof decided === "function" || decided.code !== "VALID") return decided;
    return { ...decided, upstream };
  }
}
