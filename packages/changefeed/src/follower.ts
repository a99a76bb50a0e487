import { Failure } from "@gatehouse/service/failure";
import { type Clock, elapsedMs, type Moment, systemClock } from "./clock.ts";
import type { Position } from "./position.ts";
import { SharedRead } from "./shared-read.ts";

/**
 * The follower's end of the feed.
 *
 * It is fresh as of a time t only if a reply to its own head request, sent at t, was seen and every change up
 * to that head applied: `proveOnce` is that sentence. A change committed before t is in the head that the
 * source reads after t, so nothing committed before t can be missing; whatever the bus lost, doubled or forged
 * has no part in it. The time that counts is when the request was sent, not when the reply came: a reply that
 * lay in a buffer while the process was paused proves nothing about the pause.
 *
 * A bell only pokes: it makes the next proof come sooner.
 */

/** The log that is followed. Every call settles within its own deadline. */
export interface FeedSource<C> {
  /** The head, read after the request arrived. */
  head(): Promise<Position>;
  /** The changes right after a position. Throws Failure LOG_TRUNCATED where the log cannot say. */
  changes(after: Position): Promise<readonly C[]>;
}

/** What follows: a cache in memory, or a mirror in a database that several processes keep together. */
export interface Replica<C> {
  /** How far it has applied the log; undefined before it ever began. Asked before the head is. */
  position(): Position | undefined | Promise<Position | undefined>;
  /** Applies the changes right after `after`; answers how far it now is. */
  apply(after: Position, changes: readonly C[]): Position | Promise<Position>;
  /** Forgets everything it knew and begins again, at `head` or beyond; answers where. */
  restart(head: Position): Position | Promise<Position>;
}

export interface FollowerOptions<C> {
  readonly source: FeedSource<C>;
  readonly replica: Replica<C>;
  readonly clock?: Clock;
}

/** A log cut off, a database restored: how often one proof starts over before it gives up for this time. */
const MAX_RESTARTS = 2;

/** One failure may be an accident of this side: a connection reset, a deadline that passed while it was stopped. */
const FAILURES_OUT_OF_REACH = 2;
/** What was asked longer ago says nothing of now; a loop that goes on trying has asked again by then. */
const FAILURE_TOLD_MS = 1000;

export class Follower<C extends { readonly revision: number | bigint }> {
  readonly #source: FeedSource<C>;
  readonly #replica: Replica<C>;
  readonly #clock: Clock;
  readonly #proof: SharedRead<void>;
  #provenAt: Moment | undefined;
  #position: Position | undefined;
  #proofsBegun = 0;
  #provenProof = 0;
  /** Proofs that failed since the last that succeeded. */
  #failures = 0;
  /** When the newest request was sent, and when the newest of those that were not answered. */
  #askedAt: Moment | undefined;
  #unansweredAt: Moment | undefined;
  /** Since the start, for those who watch: proofs that failed, times the replica began anew, bells heard. */
  failedProofs = 0;
  restarts = 0;
  bells = 0;

  constructor({ source, replica, clock = systemClock }: FollowerOptions<C>) {
    this.#source = source;
    this.#replica = replica;
    this.#clock = clock;
    this.#proof = new SharedRead(() => this.#tryProof());
  }

  /** Milliseconds since the last moment of which the replica is proven; Infinity before the first. */
  ageMs(now = this.#clock.now()): number {
    return this.#provenAt === undefined ? Number.POSITIVE_INFINITY : elapsedMs(now, this.#provenAt);
  }

  /** How far the replica is proven. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** The number of the newest proof begun. A doubt raised now is answered by a proof of a higher number. */
  get proofsBegun(): number {
    return this.#proofsBegun;
  }

  /** The number of the newest proof that succeeded; 0 before the first. */
  get provenProof(): number {
    return this.#provenProof;
  }

  /**
   * Is the source out of reach, as far as can be told now? It is the counterpart of freshness, and judged as
   * narrowly: on it rests who may answer from state that is past its bound. A process that was stopped finds the
   * deadline of its request passed before it reads the reply that lies there; and what it found out before says
   * nothing of after. So it takes failures in a row, the newest of them of a request sent within the last second.
   */
  get isOutOfReach(): boolean {
    return (
      this.#failures >= FAILURES_OUT_OF_REACH &&
      this.#unansweredAt !== undefined &&
      elapsedMs(this.#clock.now(), this.#unansweredAt) <= FAILURE_TOLD_MS
    );
  }

  /**
   * Proves the replica fresh as of a moment after this call; waiters share proofs. Rejects where the source
   * does not answer. Whoever loops over it must never give up.
   */
  prove(): Promise<void> {
    return this.#proof.read();
  }

  async #tryProof(): Promise<void> {
    this.#askedAt = this.#clock.now();
    try {
      await this.#proveOnce();
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      this.failedProofs++;
      this.#unansweredAt = this.#askedAt;
      throw error;
    }
  }

  async #proveOnce(): Promise<void> {
    // Before the head: another process may advance a shared mirror while the head request is on its way, and
    // a position that is ahead of an older head would look like a log that went backwards.
    const proof = ++this.#proofsBegun;
    let at = await this.#replica.position();
    const sentAt = this.#clock.now();
    this.#askedAt = sentAt;
    const head = await this.#source.head();
    let restarts = 0;
    if (at === undefined || at.incarnation !== head.incarnation || at.revision > head.revision) {
      at = await this.#replica.restart(head);
      restarts++;
      this.restarts++;
    }
    while (at.revision < head.revision) {
      const after = at;
      this.#askedAt = this.#clock.now();
      try {
        at = await this.#replica.apply(after, this.#following(after, await this.#source.changes(after)));
        // Or the loop would never end.
        if (at.revision <= after.revision) throw new Error(`the replica stands still at ${at.revision}`);
      } catch (error) {
        if (!(error instanceof Failure && error.reason === "LOG_TRUNCATED") || restarts++ === MAX_RESTARTS) {
          throw error;
        }
        at = await this.#replica.restart(head);
        this.restarts++;
      }
      if (at.incarnation !== head.incarnation)
        throw new Error("the log changed its incarnation while it was read");
    }
    this.#position = at;
    this.#provenAt = sentAt;
    this.#provenProof = proof;
  }

  // An empty page below the head, or a gap, would pass for "nothing happened".
  #following(after: Position, changes: readonly C[]): readonly C[] {
    if (changes.length === 0)
      throw new Error(`the feed has no changes after ${after.revision}, below its head`);
    for (const [i, change] of changes.entries()) {
      if (Number(change.revision) !== after.revision + 1 + i) {
        throw new Error(`the feed skipped a revision: ${change.revision} follows ${after.revision + i}`);
      }
    }
    return changes;
  }
}
