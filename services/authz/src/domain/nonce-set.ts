import { hash } from "node:crypto";
import type { Moment } from "@gatehouse/changefeed";
import { NonceGeneration } from "./nonce-generation.ts";

/**
 * The nonces that this replica has admitted. A request that it admitted once it never admits again: nothing is forgotten
 * while the request's timestamp is within the window, and of what was forgotten, or was before its time, it remembers
 * up to which timestamp that reaches. A request that was signed no later than that is not known, whatever the clock says
 * by now, and so is not admitted. This is what holds
 *
 * - over a clock that is set back: the timestamp would be within the window again, and the nonce is gone;
 * - over a restart: what was admitted before the end of the last process was signed before this one began, or no later
 *   than the mark, which is written down a little ahead of the timestamps that are admitted. A client whose clock is
 *   further ahead than that gets a mark of its own: it would make everybody else wait for it after a restart.
 *
 * Nonces live in a few generations by when they end, each dropped whole. A generation ends when both clocks have passed
 * it, so that a clock which jumps ahead for a while empties nothing.
 *
 * A nonce is a hash here, so that each takes the same room, about 110 bytes, whatever clients make up.
 *
 * For a key with strict replay the whole deployment remembers, but only what was admitted since that was turned on. Up
 * to then, and until every replica has heard of it, each knows what it admitted itself, and what it does not know another
 * may have admitted: one that is cut off goes on as before for as long as it may answer from what it knew. A request of
 * a client whose clock is far ahead may have been admitted then and look as if it was signed afterwards: as long as such
 * are in the window, what is not known here for lack of memory is not admitted either, whatever the deployment says.
 */

/** A signed request, as far as its nonce is concerned. */
export interface NonceUse {
  readonly keyId: string;
  /** Whose the key is: those of an organization share the room that it has. Empty for the provider's. */
  readonly organizationId: string;
  readonly nonce: string;
  /** When it was signed, as it says. */
  readonly timestampMs: number;
}

/**
 * - `unseen`: it may be admitted.
 * - `claimed`: so it may, and the whole deployment knows by now that it is this replica's.
 * - `taken`: it was admitted.
 * - `unknown`: it was signed at a time that this replica remembers nothing of any more, or nothing yet.
 */
export type NonceState = "unseen" | "claimed" | "taken" | "unknown";

/** Whether the whole deployment remembers what is admitted of a key, and from when on; undefined: from its beginning. */
export interface Strictness {
  readonly strictReplay: boolean;
  readonly strictSinceMs: number | undefined;
}

/** What survives the process: a time up to which requests of any key may have been admitted. */
export interface NonceMark {
  readonly valueMs: number;
  /** Throws where it cannot be written. */
  raise(ms: number): void;
}

/** And so for single keys whose clocks are ahead. */
export interface KeyMarks {
  /** As the process before left them. */
  readonly atStart: ReadonlyMap<string, number>;
  /** Throws where it cannot be written. */
  raise(keyId: string, ms: number): void;
}

export interface NonceSetOptions {
  /** How far from now a request's timestamp may be, either way. */
  readonly windowMs: number;
  readonly mark: NonceMark;
  readonly keyMarks: KeyMarks;
  /** So long after strict replay was turned on a replica may not have heard of it, and yet admit as before. */
  readonly heardWithinMs: number;
  /** When this replica began. */
  readonly since: Moment;
  readonly capacity?: number | undefined;
}

/**
 * Nonces in memory, 110 MB of them. One is kept for the window and up to a quarter more (twice as long for a client
 * whose clock is ahead): 27 000 signed requests a second in the long run with a window of 30 s, 2700 with one of 300 s.
 * The keys of an organization never hold more than what is still free: alone it gets half of that, n greedy
 * organizations together leave 1/(n+1). It makes as many keys as it likes, so that a share for each key would be none.
 */
const CAPACITY = 1_000_000;
/** Marks are raised this far ahead, which is how seldom they are written. */
const MARK_AHEAD_MS = 1000;
/** Good clocks, of clients and of services, are no further apart: the most that clients wait for each other after a restart. */
const GOOD_CLOCK_MS = 2000;
/** A nonce lives longer than it has to by one part of the window. */
const PARTS = 4;
/** Two windows of parts, with room for clocks that are set now and then; beyond it the last one is drawn out. */
const MAX_GENERATIONS = 16;

export class NonceSet {
  readonly #windowMs: number;
  readonly #capacity: number;
  readonly #mark: NonceMark;
  readonly #keyMarks: KeyMarks;
  readonly #strictSlackMs: number;
  readonly #sinceMs: number;
  #generations: NonceGeneration[] = [];
  #size = 0;
  #forgottenUntilMs = Number.NEGATIVE_INFINITY;

  constructor({ windowMs, mark, keyMarks, heardWithinMs, since, capacity = CAPACITY }: NonceSetOptions) {
    this.#windowMs = windowMs;
    this.#capacity = capacity;
    this.#mark = mark;
    this.#keyMarks = keyMarks;
    this.#strictSlackMs = heardWithinMs + GOOD_CLOCK_MS;
    this.#sinceMs = Math.max(since.wallMs, mark.valueMs);
  }

  get size(): number {
    return this.#size;
  }

  /** `strictness`: where the whole deployment remembers it, a restart of this replica is no reason not to know. */
  stateOf(use: NonceUse, strictness: Strictness, now: Moment): NonceState {
    this.forget(now);
    const name = nameOf(use);
    for (const generation of this.#generations) {
      const isTaken = generation.isTaken(name);
      if (isTaken !== undefined) return isTaken ? "taken" : "claimed";
    }
    const isForgotten = use.timestampMs <= this.#forgottenUntilMs;
    const sinceMs = Math.max(this.#sinceMs, this.#keyMarks.atStart.get(use.keyId) ?? 0);
    const isBefore =
      use.timestampMs <= sinceMs && !this.#isStrictAt(use.timestampMs, strictness, this.#windowMs);
    const isElsewhere = strictness.strictReplay && !this.#isStrictAt(use.timestampMs, strictness, 0);
    return isForgotten || isBefore || isElsewhere ? "unknown" : "unseen";
  }

  /** Makes sure that it can be taken next. False: its organization has no room left, or its mark cannot be written. */
  prepare({ keyId, organizationId, timestampMs }: NonceUse, now: Moment): boolean {
    if (this.#heldBy(organizationId) >= this.#capacity - this.#size) return false;
    if (timestampMs <= this.#mark.valueMs) return true;
    try {
      const markMs = timestampMs + MARK_AHEAD_MS;
      if (timestampMs <= now.wallMs + GOOD_CLOCK_MS) this.#mark.raise(markMs);
      else this.#keyMarks.raise(keyId, markMs);
      return true;
    } catch {
      return false;
    }
  }

  /** The request is admitted. */
  take(use: NonceUse, now: Moment): void {
    this.#keep(use, now, true);
  }

  /** The deployment has it down as this replica's. Nothing happens where it is here already, or there is no room. */
  claim(use: NonceUse, now: Moment): void {
    if (this.stateOf(use, CLAIMED, now) === "unseen" && this.prepare(use, now)) this.#keep(use, now, false);
  }

  /** It was not admitted after all. What was claimed stays so. */
  giveBack(use: NonceUse, isStrict: boolean): void {
    const name = nameOf(use);
    const home = this.#generations.find((generation) => generation.isTaken(name));
    if (home === undefined) return;
    if (isStrict) {
      home.change(name, false);
      return;
    }
    home.remove(name, use.organizationId);
    this.#size--;
  }

  /** Drops what has ended. Every look does it first; called by itself, it frees memory when nobody signs any more. */
  forget(now: Moment): void {
    if (!this.#generations.some((generation) => generation.isOver(now))) return;
    for (const over of this.#generations.filter((generation) => generation.isOver(now))) {
      this.#size -= over.size;
      this.#forgottenUntilMs = Math.max(this.#forgottenUntilMs, over.latestMs);
    }
    this.#generations = this.#generations.filter((generation) => !generation.isOver(now));
  }

  // Whether all that was signed then was remembered by the deployment, if no clock was further ahead than `aheadMs`.
  #isStrictAt(
    timestampMs: number,
    { strictReplay, strictSinceMs = Number.NEGATIVE_INFINITY }: Strictness,
    aheadMs: number,
  ): boolean {
    return strictReplay && timestampMs > strictSinceMs + this.#strictSlackMs + aheadMs;
  }

  #keep(use: NonceUse, now: Moment, isTaken: boolean): void {
    const name = nameOf(use);
    const home = this.#generations.find((generation) => generation.isTaken(name) !== undefined);
    if (home !== undefined) {
      home.change(name, isTaken);
      return;
    }
    this.#homeFor(use.timestampMs + this.#windowMs, now).add(
      name,
      use.organizationId,
      use.timestampMs,
      isTaken,
    );
    this.#size++;
  }

  #homeFor(endWallMs: number, now: Moment): NonceGeneration {
    const end = { wallMs: endWallMs, monotonicMs: now.monotonicMs + (endWallMs - now.wallMs) };
    const covering = this.#generations.find((generation) => generation.covers(end));
    if (covering !== undefined) return covering;
    const part = this.#windowMs / PARTS;
    const ends = { wallMs: end.wallMs + part, monotonicMs: end.monotonicMs + part };
    const last = this.#generations.at(-1);
    if (last === undefined || this.#generations.length < MAX_GENERATIONS) {
      const made = new NonceGeneration(ends);
      this.#generations.push(made);
      return made;
    }
    last.ends = {
      wallMs: Math.max(last.ends.wallMs, ends.wallMs),
      monotonicMs: Math.max(last.ends.monotonicMs, ends.monotonicMs),
    };
    return last;
  }

  #heldBy(organizationId: string): number {
    let held = 0;
    for (const generation of this.#generations) held += generation.heldBy(organizationId);
    return held;
  }
}

/** What the deployment has just granted, it remembers. */
const CLAIMED: Strictness = { strictReplay: true, strictSinceMs: undefined };

// Ids have no space, so two pairs never make one name.
function nameOf({ keyId, nonce }: NonceUse): string {
  return hash("sha256", `${keyId} ${nonce}`, "base64url");
}
