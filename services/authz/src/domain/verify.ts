import {
  isAddressAllowed,
  isEndpointAllowed,
  isIntegrationAllowed,
  type KeyView,
  stateOf,
  stateOfChain,
  termsRequired,
} from "@gatehouse/access";
import type { Clock, Moment } from "@gatehouse/changefeed";
import type { KeyFormat, ReservedDecisionIds } from "@gatehouse/keys";
import type { Activity } from "./activity.ts";
import type { CatalogBook } from "./catalog-book.ts";
import { type ChargePath, ChargePaths } from "./charge-path.ts";
import { costsOf, recordCharges } from "./charge-record.ts";
import { Credentials } from "./credentials.ts";
import type { Decision } from "./decision.ts";
import { type DecisionCounts, Decisions } from "./decisions.ts";
import { entryOf, isDoubted, type KeyEntry } from "./entry.ts";
import { findTarget, organizationOf } from "./find-target.ts";
import { FreshnessCheck, type FreshnessCheckOptions } from "./freshness-check.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { IdentityReader } from "./identity-reader.ts";
import type { Journal } from "./journal.ts";
import type { LeasePool, Obstacle, Spend } from "./lease-pool.ts";
import { Receipt } from "./receipt.ts";
import {
  asOfNow,
  bindingOf,
  isUndecided,
  noEndpoint,
  notFound,
  type Refusal,
  refusalBy,
  stands,
  undecidable,
  undecidableFor,
  unmetered,
  unpaid,
} from "./refusal.ts";
import { Reservations } from "./reservations.ts";
import { seenBy } from "./seen-limits.ts";
import type { Signatures } from "./signatures.ts";
import type { SignedRequest } from "./signed-request.ts";
import type { Payment } from "./toll.ts";
import { during, noteDecision, type Trace } from "./trace.ts";
import type { UpstreamHeaders } from "./upstream-header.ts";
import type { VerifyCall } from "./verify-call.ts";
import { forUnits, type Wait, whenRead } from "./wait.ts";
import { type Caller, Waiters } from "./waiters.ts";
import { whenLent, whenPriced } from "./when-lent.ts";

/**
 * The hot path. `attempt` decides synchronously from what is in memory, charges, and writes the journal; where
 * something is missing it says what, and `verify` waits for that and attempts the whole again. Nothing that was
 * looked at before a wait is relied on after it: a key revoked meanwhile is refused, units that another call
 * took meanwhile are acquired anew.
 *
 * The order of checks is the order of DESIGN's codes: the first failure wins.
 */

export interface VerifierOptions extends FreshnessCheckOptions {
  readonly format: KeyFormat;
  readonly cache: IdentityCache;
  readonly identity: IdentityReader;
  readonly catalog: CatalogBook;
  readonly activity: Pick<Activity, "used">;
  readonly signatures: Pick<Signatures, "faultOf" | "checkInVain" | "prepare" | "claim" | "admitted">;
  readonly upstream: Pick<UpstreamHeaders, "of">;
  readonly pool: LeasePool;
  readonly journal: Journal;
  readonly reservedIds: ReservedDecisionIds;
  readonly clock: Clock;
}

/** Each wait can uncover the next thing missing: freshness, key, catalog, target, nonce, limits, units; a race on each. */
const MAX_ATTEMPTS = 15;

export class Verifier {
  readonly #options: VerifierOptions;
  readonly #decisions: Decisions;
  readonly #reservations: Reservations;
  readonly #credentials: Credentials;
  readonly #freshness: FreshnessCheck;
  readonly #paths = new ChargePaths();
  readonly waiters = new Waiters();

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#decisions = new Decisions(options);
    this.#credentials = new Credentials(options);
    this.#freshness = new FreshnessCheck(options);
    this.#reservations = new Reservations(options.reservedIds, options.journal);
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
    return this.#decisions.make(refusal, "");
  }

  async #verifyLater(call: VerifyCall, verifier: KeyView, first: Wait, caller?: Caller): Promise<Decision> {
    let wait = first;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const refusal = await this.waiters.hold(wait, call, caller);
      const next = this.#attempt(call, verifier, refusal);
      if (typeof next !== "function") return next;
      wait = next;
    }
    return this.#decisions.make(undecidableFor("attempts"), call.resource);
  }

  // `refusal` is what the wait before found out; it stands only if nothing that comes before it fails.
  #attempt(call: VerifyCall, verifier: KeyView, refusal?: Refusal): Decision | Wait {
    const { cache, activity, clock } = this.#options;
    const now = clock.now();
    const asking = entryOf(verifier);
    if (asking !== undefined) activity.used(asking, now.wallMs);
    const keyId = this.#credentials.keyIdOf(call);
    if (keyId === undefined && !cache.mayBeImported(call.presented)) {
      return this.#decisions.make(notFound, call.resource);
    }
    const freshness = this.#freshness.of(call, refusal, now);
    if (freshness !== undefined) {
      return typeof freshness === "function" ? freshness : this.#decisions.make(freshness, call.resource);
    }
    const entry = this.#credentials.entryOf(keyId, call);
    if (entry === undefined) return this.#missing(keyId, call, refusal);
    const fault = this.#credentials.faultOf(entry, call, verifier, now);
    if (fault === notFound) return this.#decisions.make(notFound, call.resource);
    if (fault !== undefined) return this.#decisions.make(fault, call.resource, entry);
    const state = stateOf(entry, now.wallMs);
    if (state === "NOT_FOUND") return this.#decisions.make(notFound, call.resource);
    if (state !== "VALID") return this.#decisions.make({ code: state }, call.resource, entry);
    return this.#attemptFor(entry, call, verifier, now, refusal);
  }

  #missing(keyId: string | undefined, call: VerifyCall, refusal: Refusal | undefined): Decision | Wait {
    if (this.#credentials.isNone(keyId, call)) {
      return this.#decisions.make(this.#credentials.none(call, this.#options.clock.now()), call.resource);
    }
    return this.#whenRead(refusal, call.resource, undefined, (trace) =>
      this.#credentials.read(keyId, call, trace),
    );
  }

  // Nobody waits for what the wait before, or others, found out already: that identity does not answer.
  #whenRead(
    refusal: Refusal | undefined,
    resource: string,
    entry: KeyEntry | undefined,
    read: (trace: Trace | undefined) => Promise<void>,
  ): Decision | Wait {
    if (isUndecided(refusal)) return this.#decisions.make(refusal, resource, entry);
    if (this.#options.identityGate.unreachable) return this.#decisions.make(undecidable, resource, entry);
    return (trace) => whenRead(read(trace));
  }

  // For a living key, which was presented to somebody who may see it, or signed the call.
  #attemptFor(
    entry: KeyEntry,
    call: VerifyCall,
    verifier: KeyView,
    now: Moment,
    refusal: Refusal | undefined,
  ): Decision | Wait {
    const { cache, catalog, identity, identityProof, identityGate } = this.#options;
    const { http, account } = call;
    if (http !== undefined && !catalog.isFilled) {
      return this.#whenRead(refusal, "", entry, (trace) =>
        during(trace, "read catalog", () => catalog.fill()),
      );
    }
    const endpoint = http && catalog.endpointOf(http.method, http.path);
    const resource = endpoint === undefined ? call.resource : endpoint.resource;
    if (termsRequired(entry.accounts, resource || undefined) !== undefined) {
      return this.#decisions.make({ code: "TERMS_REQUIRED" }, resource, entry);
    }
    const target = findTarget(cache, entry, account);
    if (target === "none") return this.#decisions.make({ code: "TARGET_NOT_FOUND" }, resource, entry);
    if (target === "unknown") {
      const { accountId } = entry.key;
      return this.#whenRead(refusal, resource, entry, (trace) =>
        identity.readTarget(organizationOf(entry), account, accountId, trace),
      );
    }
    if (isDoubted(entry, target, identityProof.provenProof) && !identityGate.unreachable) {
      const proof = this.#freshness.proofUnless(refusal);
      return typeof proof === "function" ? proof : this.#decisions.make(proof, resource, entry);
    }
    const state = target === entry.accounts ? "VALID" : stateOfChain(target);
    if (state !== "VALID") return this.#decisions.make({ code: state }, resource, entry, target);
    if (!isAddressAllowed(entry, call.address)) {
      return this.#decisions.make({ code: "ADDRESS_DENIED" }, resource, entry, target);
    }
    if (!isIntegrationAllowed(entry, call.integration)) {
      return this.#decisions.make({ code: "INTEGRATION_DENIED" }, resource, entry, target);
    }
    if (http !== undefined && endpoint === undefined) {
      return this.#decisions.make(noEndpoint(http), resource, entry, target);
    }
    const path = this.#paths.of(entry, target, resource);
    const isCallable = endpoint === undefined || isEndpointAllowed(entry, endpoint.name);
    if (!isCallable || !path.isAllowed) {
      return this.#decisions.make({ code: "SCOPE_DENIED" }, resource, entry, target);
    }
    const upstream = this.#options.upstream.of(target, verifier);
    if (upstream === "sealed") {
      return this.#decisions.make(undecidableFor("signing"), resource, entry, target);
    }
    // Who is denied is denied, be its limits known or not.
    if (call.needs.length > 0 && !this.#freshness.areLimitsFresh(now)) {
      return this.#decisions.make(unmetered, resource, entry, target);
    }
    const decided =
      call.signed === undefined
        ? this.#charge(call, verifier, now, entry, path, refusal)
        : this.#chargeSigned(call, call.signed, verifier, now, entry, path, refusal);
    if (upstream === undefined || typeof decided === "function" || decided.code !== "VALID") return decided;
    return { ...decided, upstream };
  }

  // Charged and taken in one stretch: of two copies of a request the second finds the nonce gone. The deployment is asked
  // last, when nothing else is in the way: for each request that it is asked about it writes a row.
  #chargeSigned(
    call: VerifyCall,
    signed: SignedRequest,
    verifier: KeyView,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    refusal: Refusal | undefined,
  ): Decision | Wait {
    const { signatures, clock, identityGate, pool } = this.#options;
    const { resource, target } = path;
    if (signed.wasAdmitted) return this.#charge(call, verifier, now, entry, path, refusal);
    const hindrance = signatures.prepare(entry, signed, now);
    if (hindrance === "claim") {
      if (identityGate.unreachable) return this.#decisions.make(undecidable, resource, entry, target);
      const obstacle = call.needs.length === 0 ? undefined : pool.obstacle(path, call.needs, now);
      if (obstacle !== undefined) return this.#uncharged(obstacle, path, entry, now, refusal);
      // One of a bucket does not stand any more: its units are here by now.
      if (refusal !== undefined && refusal.refusedBy === undefined) {
        return this.#decisions.make(refusal, resource, entry, target);
      }
      return (trace) =>
        during(trace, "claim nonce", (part) => signatures.claim(entry, signed, () => clock.now(), part));
    }
    if (hindrance !== undefined) return this.#decisions.make(hindrance, resource, entry, target);
    const decided = this.#charge(call, verifier, now, entry, path, refusal);
    if (typeof decided !== "function" && decided.code === "VALID") {
      signatures.admitted(entry, signed, now, decided.receipt);
    }
    return decided;
  }

  #charge(
    call: VerifyCall,
    verifier: KeyView,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    refusal: Refusal | undefined,
  ): Decision | Wait {
    const { target, resource } = path;
    if (call.needs.length === 0) {
      this.#options.activity.used(entry, now.wallMs);
      return this.#decisions.make({ code: "VALID" }, resource, entry, target);
    }
    const charged = this.#options.pool.charge(path, call.needs, now);
    if (charged.kind !== "charged") return this.#uncharged(charged, path, entry, now, refusal);
    const { spends, warnings, payments } = charged;
    const { reserveTtlMs } = call;
    const reserved =
      reserveTtlMs === undefined
        ? undefined
        : this.#reservations.hold(call, reserveTtlMs, verifier.key.id, now, entry, path, charged);
    const receipt = this.#record(call, now, entry, path, spends, payments);
    const binding =
      charged.binding && bindingOf(charged.binding.bucket, charged.binding.remaining, undefined, now);
    this.#options.activity.used(entry, now.wallMs);
    const valid = { code: "VALID", binding } as const;
    const made = this.#decisions.make(valid, resource, entry, target, warnings, receipt, reserved);
    return payments === undefined ? made : { ...made, cost: costsOf(payments) };
  }

  #uncharged(
    obstacle: Obstacle,
    { target, resource }: ChargePath,
    entry: KeyEntry,
    now: Moment,
    refusal: Refusal | undefined,
  ): Decision | Wait {
    const { pool, clock } = this.#options;
    switch (obstacle.kind) {
      case "refused": {
        const by = refusalBy(obstacle.bucket, obstacle.remaining, obstacle.retryAfterMs, now);
        return this.#decisions.make(by, resource, entry, target);
      }
      case "unpaid":
        return this.#decisions.make(unpaid, resource, entry, target);
      case "unpriced":
        if (isUndecided(refusal)) return this.#decisions.make(refusal, resource, entry, target);
        return (trace) => during(trace, "read prices", () => whenPriced(pool));
    }
    if (refusal !== undefined && stands(refusal, now)) {
      return this.#decisions.make(asOfNow(refusal, now), resource, entry, target);
    }
    return forUnits((trace) => whenLent(pool, clock, obstacle.ask, trace));
  }

  // In one stretch with the spends: what is written in between by another call belongs to another decision.
  #record(
    { needs }: VerifyCall,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    spends: readonly Spend[],
    payments: readonly Payment[] | undefined,
  ): Receipt {
    const { journal, pool } = this.#options;
    recordCharges(journal, entry, path, needs, payments, now);
    const receipt = new Receipt();
    journal.whenWritten((error) => {
      if (error !== undefined) pool.undo(spends, payments);
      // What was answered, not what was charged: whoever waited too long was told that nothing is known.
      if (error === undefined && !receipt.isLate) this.counts.count("VALID");
      else this.counts.count("INDETERMINATE", "spool");
      receipt.settle(error);
    }, receipt);
    return receipt;
  }
}
