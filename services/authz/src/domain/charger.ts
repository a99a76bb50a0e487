import type { Clock, Moment } from "@gatehouse/changefeed";
import type { ReservedDecisionIds } from "@gatehouse/keys";
import type { Activity } from "./activity.ts";
import type { Attempt } from "./attempt.ts";
import type { ChargePath } from "./charge-path.ts";
import { costsOf, recordCharges } from "./charge-record.ts";
import type { Decision } from "./decision.ts";
import type { Decisions } from "./decisions.ts";
import type { KeyEntry } from "./entry.ts";
import type { FreshnessGate, Proven } from "./freshness-gate.ts";
import type { Journal } from "./journal.ts";
import type { Charged, LeasePool, Obstacle } from "./lease-pool.ts";
import { Receipt } from "./receipt.ts";
import {
  asOfNow,
  bindingOf,
  isUndecided,
  refusalBy,
  stands,
  undecidable,
  unmetered,
  unpaid,
} from "./refusal.ts";
import { Reservations } from "./reservations.ts";
import type { Signatures } from "./signatures.ts";
import type { SignedRequest } from "./signed-request.ts";
import { during } from "./trace.ts";
import type { VerifyCall } from "./verify-call.ts";
import { forUnits, type Wait } from "./wait.ts";
import { whenLent, whenPriced } from "./when-lent.ts";

export interface ChargerOptions {
  readonly pool: LeasePool;
  readonly journal: Journal;
  readonly signatures: Pick<Signatures, "prepare" | "claim" | "admitted">;
  readonly activity: Pick<Activity, "used">;
  readonly reservedIds: ReservedDecisionIds;
  readonly identityGate: FreshnessGate;
  readonly meteringProof: Proven;
  /** Limits known longer ago than this are not relied on: a lowered limit binds within one lease's life. */
  readonly limitsStalenessMaxMs: number;
  readonly clock: Clock;
}

/** The last step of an attempt: charges a call that nothing denies, and writes the journal. */
export class Charger {
  readonly #options: ChargerOptions;
  readonly #decisions: Decisions;
  readonly #reservations: Reservations;

  constructor(options: ChargerOptions, decisions: Decisions) {
    this.#options = options;
    this.#decisions = decisions;
    this.#reservations = new Reservations(options.reservedIds, options.journal);
  }

  charge(entry: KeyEntry, path: ChargePath, attempt: Attempt): Decision | Wait {
    const { meteringProof, limitsStalenessMaxMs } = this.#options;
    const { call, now } = attempt;
    const { signed } = call;
    if (call.needs.length > 0 && meteringProof.ageMs(now) > limitsStalenessMaxMs) {
      return this.#decisions.make(now, unmetered, path.resource, entry, path.target);
    }
    return signed === undefined || signed.wasAdmitted
      ? this.#charge(entry, path, attempt)
      : this.#chargeSigned(entry, signed, path, attempt);
  }

  // Charged and taken in one stretch: of two copies of a request the second finds the nonce gone. The deployment is asked
  // last, when nothing else is in the way: for each request that it is asked about it writes a row.
  #chargeSigned(entry: KeyEntry, signed: SignedRequest, path: ChargePath, attempt: Attempt): Decision | Wait {
    const { signatures, clock, identityGate, pool } = this.#options;
    const { call, now, refusal } = attempt;
    const { resource, target } = path;
    const hindrance = signatures.prepare(entry, signed, now);
    if (hindrance === "claim") {
      if (identityGate.unreachable) return this.#decisions.make(now, undecidable, resource, entry, target);
      const obstacle = call.needs.length === 0 ? undefined : pool.obstacle(path, call.needs, now);
      if (obstacle !== undefined) return this.#uncharged(obstacle, entry, path, attempt);
      // One of a bucket does not stand any more: its units are here by now.
      if (refusal !== undefined && refusal.refusedBy === undefined) {
        return this.#decisions.make(now, refusal, resource, entry, target);
      }
      return (trace) =>
        during(trace, "claim nonce", (part) => signatures.claim(entry, signed, () => clock.now(), part));
    }
    if (hindrance !== undefined) return this.#decisions.make(now, hindrance, resource, entry, target);
    const decided = this.#charge(entry, path, attempt);
    if (typeof decided !== "function" && decided.code === "VALID") {
      signatures.admitted(entry, signed, now, decided.receipt);
    }
    return decided;
  }

  #charge(entry: KeyEntry, path: ChargePath, attempt: Attempt): Decision | Wait {
    const { pool, activity } = this.#options;
    const { call, verifier, now } = attempt;
    const { target, resource } = path;
    if (call.needs.length === 0) {
      activity.used(entry, now.wallMs);
      return this.#decisions.make(now, { code: "VALID" }, resource, entry, target);
    }
    const charged = pool.charge(path, call.needs, now);
    if (charged.kind !== "charged") return this.#uncharged(charged, entry, path, attempt);
    const { warnings, payments } = charged;
    const reserved =
      call.reserveTtlMs === undefined
        ? undefined
        : this.#reservations.hold(call, call.reserveTtlMs, verifier.key.id, now, entry, path, charged);
    const receipt = this.#record(call, now, entry, path, charged);
    const binding =
      charged.binding && bindingOf(charged.binding.bucket, charged.binding.remaining, undefined, now);
    activity.used(entry, now.wallMs);
    return this.#decisions.make(now, { code: "VALID", binding }, resource, entry, target, {
      warnings,
      receipt,
      reserved,
      cost: costsOf(payments),
    });
  }

  #uncharged(
    obstacle: Obstacle,
    entry: KeyEntry,
    { target, resource }: ChargePath,
    { now, refusal }: Attempt,
  ): Decision | Wait {
    const { pool, clock } = this.#options;
    switch (obstacle.kind) {
      case "refused": {
        const by = refusalBy(obstacle.bucket, obstacle.remaining, obstacle.retryAfterMs, now);
        return this.#decisions.make(now, by, resource, entry, target);
      }
      case "unpaid":
        return this.#decisions.make(now, unpaid, resource, entry, target);
      case "unpriced":
        if (isUndecided(refusal)) return this.#decisions.make(now, refusal, resource, entry, target);
        return (trace) => during(trace, "read prices", () => whenPriced(pool));
    }
    if (refusal !== undefined && stands(refusal, obstacle.ask, now)) {
      return this.#decisions.make(now, asOfNow(refusal, now), resource, entry, target);
    }
    return forUnits((trace) => whenLent(pool, clock, obstacle.ask, trace));
  }

  // In one stretch with the spends: what is written in between by another call belongs to another decision.
  #record(
    { needs }: VerifyCall,
    now: Moment,
    entry: KeyEntry,
    path: ChargePath,
    { spends, payments }: Extract<Charged, { kind: "charged" }>,
  ): Receipt {
    const { journal, pool } = this.#options;
    const { counts } = this.#decisions;
    recordCharges(journal, entry, path, needs, payments, now);
    const receipt = new Receipt();
    journal.whenWritten((error) => {
      if (error !== undefined) pool.undo(spends, payments);
      // What was answered, not what was charged: whoever waited too long was told that nothing is known.
      if (error === undefined && !receipt.isLate) counts.count("VALID");
      else counts.count("INDETERMINATE", "spool");
      receipt.settle(error);
    }, receipt);
    return receipt;
  }
}
