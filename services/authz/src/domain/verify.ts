import { type KeyView, reaches, secretMatches, stateOf, stateOfChain } from "@gatehouse/access";
import {
  type Clock,
  encodeFreshness,
  type Freshness as FreshnessToken,
  type Moment,
  type Position,
} from "@gatehouse/changefeed";
import { type KeyFormat, mintId } from "@gatehouse/keys";
import type { PendingAsk } from "./acquirer.ts";
import { ChargePath } from "./charge-path.ts";
import { type Decision, reasons } from "./decision.ts";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { FreshnessGate, Proven } from "./freshness-gate.ts";
import { type IdentityCache, isDoubted } from "./identity-cache.ts";
import type { IdentityReader } from "./identity-reader.ts";
import type { Journal } from "./journal.ts";
import type { LeasePool, Spend } from "./lease-pool.ts";
import type { Need } from "./lease-source.ts";
import { Receipt } from "./receipt.ts";
import { bindingOf, type Refusal, refusalBy, stands, undecidable } from "./refusal.ts";

/**
 * The hot path. `attempt` decides synchronously from what is in memory, charges, and writes the journal; where
 * something is missing it says what, and `verify` waits for that and attempts the whole again. Nothing that was
 * looked at before a wait is relied on after it: a key revoked meanwhile is refused, units that another call
 * took meanwhile are acquired anew.
 *
 * The order of checks is the order of DESIGN's codes: the first failure wins.
 */

export interface VerifyCall {
  readonly presented: string;
  readonly resource: string;
  /** Id or slug; empty for the key's own account. */
  readonly account: string;
  readonly needs: readonly Need[];
  readonly atLeastAsFresh: readonly FreshnessToken[];
  /** Where the call stands in its request, for messages: empty, or `requests[3].`. */
  readonly at: string;
}

export interface VerifierOptions {
  readonly format: KeyFormat;
  readonly cache: IdentityCache;
  readonly identity: IdentityReader;
  readonly identityProof: Proven;
  readonly identityGate: FreshnessGate;
  readonly meteringProof: Proven;
  /** Limits known longer ago than this are not relied on: a lowered limit binds within one lease's life. */
  readonly limitsStalenessMaxMs: number;
  readonly pool: LeasePool;
  readonly journal: Journal;
  readonly clock: Clock;
}

/** What an attempt is waiting for. Resolves to a code where waiting showed that there is nothing to wait for. */
type Wait = () => Promise<Refusal | undefined>;

/** Each wait can uncover the next thing missing: freshness, key, target, limits, units, and a race on each. */
const MAX_ATTEMPTS = 12;
const NO_CALL: VerifyCall = {
  presented: "",
  resource: "",
  account: "",
  needs: [],
  atLeastAsFresh: [],
  at: "",
};

export class Verifier {
  readonly #options: VerifierOptions;
  #shownPosition: Position | undefined;
  #shownToken = "";

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  /**
   * Decides a call on behalf of a verifier, who sees its own subtree. Where everything is at hand the decision
   * is there at once; it may be answered once the journal has this turn's writes.
   * Throws Failure FAILED_PRECONDITION (FRESHNESS_UNREACHABLE), from a promise.
   */
  verify(call: VerifyCall, verifier: KeyView): Decision | Promise<Decision> {
    const first = this.#attempt(call, verifier);
    return typeof first === "function" ? this.#verifyLater(call, verifier, first) : first;
  }

  /** The answer where not even the verifier is known for sure. */
  undecided(): Decision {
    return this.#decision(undecidable, NO_CALL);
  }

  async #verifyLater(call: VerifyCall, verifier: KeyView, first: Wait): Promise<Decision> {
    let wait = first;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const refusal = await wait();
      const next = this.#attempt(call, verifier, refusal);
      if (typeof next !== "function") return next;
      wait = next;
    }
    return this.#decision(undecidable, call);
  }

  // `refusal` is what the wait before found out; it stands only if nothing that comes before it fails.
  #attempt(call: VerifyCall, verifier: KeyView, refusal?: Refusal): Decision | Wait {
    const { format, cache, identityProof, identityGate, clock } = this.#options;
    const now = clock.now();
    const parsed = format.parse(call.presented);
    if (parsed === undefined) return this.#decision({ code: "NOT_FOUND" }, call);

    const freshness = this.#freshness(call, refusal);
    if (freshness !== undefined) {
      return typeof freshness === "function" ? freshness : this.#decision(freshness, call);
    }
    const entry = cache.key(parsed.keyId);
    if (entry === undefined) {
      if (cache.isUnknownKey(parsed.keyId) || !format.authentic(call.presented)) {
        return this.#decision({ code: "NOT_FOUND" }, call);
      }
      if (refusal !== undefined) return this.#decision(refusal, call);
      // The others found out already that it does not answer; the loop goes on trying.
      if (identityGate.unreachable) return this.#decision(undecidable, call);
      return () => this.#readOr(this.#options.identity.readKey(parsed.keyId));
    }
    if (!secretMatches(entry.view, call.presented, now.wallMs) || !sees(verifier, entry.accounts)) {
      return this.#decision({ code: "NOT_FOUND" }, call);
    }
    const state = stateOf(entry.view, now.wallMs);
    if (state === "NOT_FOUND") return this.#decision({ code: "NOT_FOUND" }, call);
    if (state !== "VALID") return this.#decision({ code: state }, call, entry);

    const target = this.#target(call.account, entry);
    if (target === "none") return this.#decision({ code: "TARGET_NOT_FOUND" }, call, entry);
    if (target === "unknown") {
      if (refusal !== undefined) return this.#decision(refusal, call, entry);
      return () => this.#readOr(this.#options.identity.readTarget(organizationOf(entry), call.account));
    }
    if (isDoubted(entry, target, identityProof.provenProof) && !identityGate.unreachable) return this.#proof;
    if (target !== entry.accounts) {
      const targetState = stateOfChain(target);
      if (targetState !== "VALID") return this.#decision({ code: targetState }, call, entry, target);
    }
    const path = pathOf(entry, target, call.resource);
    if (!path.isAllowed) return this.#decision({ code: "SCOPE_DENIED" }, call, entry, target);
    return this.#charge(call, now, entry, path, refusal);
  }

  /** Undefined: what is cached may answer. */
  #freshness({ atLeastAsFresh }: VerifyCall, refusal: Refusal | undefined): Wait | Refusal | undefined {
    const { identityProof, identityGate, meteringProof, limitsStalenessMaxMs } = this.#options;
    switch (identityGate.check(identityProof.ageMs())) {
      case "prove":
        return refusal ?? this.#proof;
      case "too-old":
        return undecidable;
    }
    if (meteringProof.ageMs() > limitsStalenessMaxMs) return undecidable;
    for (const token of atLeastAsFresh) {
      const proof = token.source === "identity" ? identityProof : meteringProof;
      const { position } = proof;
      if (position?.incarnation === token.incarnation && position.revision >= token.revision) continue;
      return (
        refusal ??
        (() =>
          this.#options.identity.catchUp(proof, token).then((reached) => (reached ? undefined : undecidable)))
      );
    }
    return undefined;
  }

  readonly #proof: Wait = async () => {
    // Whether it failed is for the next attempt to judge, by the age of what is here.
    await this.#options.identityGate.prove();
    return undefined;
  };

  #target(account: string, entry: KeyEntry): readonly AccountEntry[] | "none" | "unknown" {
    if (account === "") return entry.accounts;
    const { kind } = entry.key;
    if (kind === "SUB") return "none";
    const own = entry.accounts[0]!;
    if (account === own.id || account === own.slug) return entry.accounts;
    if (kind !== "MASTER") return "none";
    const organizationId = organizationOf(entry);
    const found = this.#options.cache.target(organizationId, account);
    if (found !== undefined) return reaches(entry.view, found.accounts) ? found.accounts : "none";
    return this.#options.cache.isUnknownTarget(organizationId, account) ? "none" : "unknown";
  }

  #charge(
    call: VerifyCall,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    refusal: Refusal | undefined,
  ): Decision | Wait {
    const { target } = path;
    const charged = this.#options.pool.charge(path, call.needs, now);
    switch (charged.kind) {
      case "charged": {
        const receipt = this.#record(call, now, entry, path, charged.spends);
        const binding =
          charged.binding && bindingOf(charged.binding.bucket, charged.binding.remaining, undefined, now);
        return this.#decision({ code: "VALID", binding }, call, entry, target, charged.warnings, receipt);
      }
      case "refused": {
        const by = refusalBy(charged.bucket, charged.remaining, charged.retryAfterMs, now);
        return this.#decision(by, call, entry, target);
      }
      case "lacking":
        if (refusal !== undefined && stands(refusal, now))
          return this.#decision(refusal, call, entry, target);
        return () => this.#acquire(charged.ask);
    }
  }

  async #acquire(ask: PendingAsk): Promise<Refusal | undefined> {
    const { pool, clock } = this.#options;
    try {
      const result = await pool.acquire(ask);
      if (result.outcome === "GRANTED") return undefined;
      if (result.outcome === "UNKNOWN_NODE") return undecidable;
      const bucket = pool.bucket(result.limitId);
      if (bucket === undefined) return undefined;
      const refusal = refusalBy(bucket, result.remaining, result.retryAfterMs, clock.now());
      const refusedBy = { bucket, held: result.held };
      return { ...refusal, ...(result.outcome === "NOT_NOW" && { code: "INDETERMINATE" }), refusedBy };
    } catch {
      return undecidable;
    }
  }

  // What could not be read is not known; what was read is in the cache now, or was too late to be believed.
  async #readOr(read: Promise<void>): Promise<Refusal | undefined> {
    try {
      await read;
      return undefined;
    } catch {
      return undecidable;
    }
  }

  // In one stretch with the spends: what is written in between by another call belongs to another decision.
  #record(
    { needs }: VerifyCall,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    spends: readonly Spend[],
  ): Receipt {
    const { journal, pool } = this.#options;
    const minute = Math.floor(now.wallMs / 60_000);
    if (path.seriesOf !== needs) {
      const account = path.target[0]!.id;
      path.series = needs.map(({ meter }) =>
        journal.series(entry.key.id, account, meter, path.resource, "VALID"),
      );
      path.seriesOf = needs;
    }
    for (let i = 0; i < needs.length; i++) {
      if (needs[i]!.units > 0) journal.charge(path.series[i]!, minute, needs[i]!.units);
    }
    const receipt = new Receipt();
    journal.whenWritten((error) => {
      if (error !== undefined) pool.undo(spends);
      receipt.settle(error);
    });
    return receipt;
  }

  #decision(
    { code, binding, retryAfterMs }: Refusal,
    call: VerifyCall,
    entry?: KeyEntry,
    target?: readonly AccountEntry[],
    warnings: readonly string[] = [],
    receipt?: Receipt,
  ): Decision {
    const { journal, identityProof } = this.#options;
    if (code !== "VALID" && entry !== undefined) {
      const account = (target ?? entry.accounts)[0]!;
      journal.denied(journal.series(entry.key.id, account.id, "requests", call.resource, code));
    }
    return {
      code,
      reason: reasons[code],
      decisionId: mintId("dec"),
      entry,
      target: entry && (target ?? entry.accounts),
      binding,
      warnings,
      retryAfterMs,
      freshness: this.#freshnessToken(),
      stalenessMs: Math.min(identityProof.ageMs(), Number.MAX_SAFE_INTEGER),
      receipt,
    };
  }

  #freshnessToken(): string {
    const { position } = this.#options.identityProof;
    if (position !== this.#shownPosition) {
      this.#shownPosition = position;
      this.#shownToken = position === undefined ? "" : encodeFreshness("identity", position);
    }
    return this.#shownToken;
  }
}

/** A verifier sees its own subtree, whatever the kind of its key; the provider's sees all. */
function sees(verifier: KeyView, accounts: readonly AccountEntry[]): boolean {
  return accounts.some((account) => account.id === verifier.key.accountId);
}

/** Where the names that a key says are looked up: its organization, or "" for the provider's. */
function organizationOf(entry: KeyEntry): string {
  return entry.accounts[0]!.organizationId ?? "";
}

function pathOf(entry: KeyEntry, target: readonly AccountEntry[], resource: string): ChargePath {
  const { latestPath } = entry;
  if (latestPath !== undefined && latestPath.target === target && latestPath.resource === resource)
    return latestPath;
  entry.latestPath = new ChargePath(entry, target, resource);
  return entry.latestPath;
}
