import { type KeyMarks, type NonceMark, NonceSet, type NonceUse, type Strictness } from "./nonce-set.ts";

export const WINDOW_MS = 30_000;
/** How much later than others a replica may hear of something. */
export const HEARD_WITHIN_MS = 11_000;
const LOOSE: Strictness = { strictReplay: false, strictSinceMs: undefined };
const START = { wallMs: 1_800_000_000_000, monotonicMs: 0 };

/** A mark that outlives its set, as a file does. */
function markOf(): NonceMark & { writes: number; isBroken: boolean } {
  return {
    valueMs: 0,
    writes: 0,
    isBroken: false,
    raise(ms: number) {
      if (this.isBroken) throw new Error("the disk is full");
      this.writes++;
      (this as { valueMs: number }).valueMs = ms;
    },
  };
}

/** Marks of keys that outlive their set. */
function keyMarksOf(): KeyMarks & { restart(): void; writes: number } {
  const times = new Map<string, number>();
  return {
    atStart: new Map<string, number>(),
    writes: 0,
    raise(keyId: string, ms: number) {
      if (ms <= (times.get(keyId) ?? 0)) return;
      this.writes++;
      times.set(keyId, ms);
    },
    restart() {
      (this as { atStart: ReadonlyMap<string, number> }).atStart = new Map(times);
    },
  };
}

interface ReplicaOptions {
  readonly capacity?: number;
  readonly heardWithinMs?: number;
  readonly isCareless?: boolean;
}

/** A replica whose clocks are in the test's hands. */
export class Replica {
  readonly mark = markOf();
  readonly keyMarks = keyMarksOf();
  now = { ...START };
  nonces: NonceSet;
  readonly #capacity: number | undefined;
  readonly #heardWithinMs: number;
  /** Whether what it does not know is admitted: what the set defends against. */
  readonly #isCareless: boolean;

  constructor({ capacity, heardWithinMs = HEARD_WITHIN_MS, isCareless = false }: ReplicaOptions = {}) {
    this.#capacity = capacity;
    this.#heardWithinMs = heardWithinMs;
    this.#isCareless = isCareless;
    this.nonces = this.#begin();
    this.pass(WINDOW_MS);
  }

  /** Time goes by on both clocks. */
  pass(ms: number): void {
    this.now = { wallMs: this.now.wallMs + ms, monotonicMs: this.now.monotonicMs + ms };
  }

  /** The wall clock is set. */
  step(ms: number): void {
    this.now = { ...this.now, wallMs: this.now.wallMs + ms };
  }

  restart(downMs: number): void {
    this.pass(downMs);
    this.now = { ...this.now, monotonicMs: 0 };
    this.keyMarks.restart();
    this.nonces = this.#begin();
  }

  use(nonce: string, agoMs = 0, keyId = "key_1", organizationId = keyId): NonceUse {
    return { keyId, organizationId, nonce, timestampMs: this.now.wallMs - agoMs };
  }

  state(use: NonceUse, strictReplay = false, strictSinceMs?: number) {
    return this.nonces.stateOf(use, { strictReplay, strictSinceMs }, this.now);
  }

  /** As a verifier does it; `claim` asks the deployment, where strict replay is on. */
  admit(
    use: NonceUse,
    strictness: Strictness = LOOSE,
    claim: (use: NonceUse) => boolean = () => true,
  ): boolean {
    if (Math.abs(this.now.wallMs - use.timestampMs) > WINDOW_MS) return false;
    const state = this.nonces.stateOf(use, strictness, this.now);
    if (state === "taken" || (state === "unknown" && !this.#isCareless)) return false;
    if (!this.nonces.prepare(use, this.now)) return false;
    if (strictness.strictReplay && state !== "claimed" && !claim(use)) return false;
    this.nonces.take(use, this.now);
    return true;
  }

  #begin(): NonceSet {
    const { mark, keyMarks, now: since } = this;
    const heardWithinMs = this.#heardWithinMs;
    return new NonceSet({
      windowMs: WINDOW_MS,
      mark,
      keyMarks,
      heardWithinMs,
      since,
      capacity: this.#capacity,
    });
  }
}
