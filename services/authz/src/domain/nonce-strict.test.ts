import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Replica, WINDOW_MS } from "./nonce-set.fixture.ts";
import type { NonceUse, Strictness } from "./nonce-set.ts";

/** How far ahead clocks of clients are that are good. */
const AHEAD_MS = 2000;
/** How long after strict replay was turned on the second replica hears of it, which goes on as before until then. */
const HEARD_AFTER_MS = 1000;
const LOOSE: Strictness = { strictReplay: false, strictSinceMs: undefined };

/** Two replicas, what identity remembers, and what each has admitted. Clocks agree. */
class Deployment {
  readonly replicas: readonly Replica[];
  readonly sent: NonceUse[] = [];
  /** By any replica. */
  readonly admitted = new Set<NonceUse>();
  turnedOnAtMs = Number.POSITIVE_INFINITY;
  readonly #claimed = new Set<string>();
  readonly #knowsSince: boolean;

  constructor(knowsSince: boolean) {
    this.#knowsSince = knowsSince;
    this.replicas = [new Replica(), new Replica()];
  }

  pass(ms: number): void {
    for (const replica of this.replicas) replica.pass(ms);
  }

  turnOn(): void {
    this.turnedOnAtMs = Math.min(this.turnedOnAtMs, this.replicas[0]!.now.wallMs);
  }

  strictnessAt(replica: Replica): Strictness {
    const heardAtMs = this.turnedOnAtMs + (replica === this.replicas[0] ? 0 : HEARD_AFTER_MS);
    if (replica.now.wallMs < heardAtMs) return LOOSE;
    return { strictReplay: true, strictSinceMs: this.#knowsSince ? this.turnedOnAtMs : undefined };
  }

  send(use: NonceUse, replica: Replica): void {
    const strictness = this.strictnessAt(replica);
    const claim = ({ nonce }: NonceUse) => !this.#claimed.has(nonce) && this.#claimed.add(nonce).has(nonce);
    if (!replica.admit(use, strictness, claim)) return;
    if (strictness.strictReplay) expect(this.admitted.has(use), "admitted again").toBe(false);
    this.admitted.add(use);
  }
}

type Step = (deployment: Deployment) => void;

// Most of it close to the moment at which it is turned on.
const signs = fc.oneof(fc.constant(-AHEAD_MS), fc.integer({ min: -AHEAD_MS, max: WINDOW_MS })).map(
  (agoMs): Step =>
    ({ sent, replicas }) =>
      void sent.push(replicas[0]!.use(`nonce-${sent.length}`, agoMs)),
);
const sends = fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 1 })).map(
  ([n, at]): Step =>
    (deployment) => {
      const use = deployment.sent.at(-1 - (n % Math.max(deployment.sent.length, 1)));
      if (use !== undefined) deployment.send(use, deployment.replicas[at]!);
    },
);
const passes = fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: 10_000 })).map(
  (ms): Step =>
    (deployment) =>
      deployment.pass(ms),
);
const restarts = fc.nat({ max: 1 }).map(
  (at): Step =>
    ({ replicas }) =>
      replicas[at]!.restart(0),
);
const turns = fc.constant<Step>((deployment) => deployment.turnOn());
const histories = fc.array(
  fc.oneof(
    { arbitrary: signs, weight: 3 },
    { arbitrary: sends, weight: 8 },
    { arbitrary: passes, weight: 3 },
    { arbitrary: restarts, weight: 1 },
    { arbitrary: turns, weight: 1 },
  ),
  { maxLength: 60 },
);

function run(history: readonly Step[], knowsSince: boolean): void {
  const deployment = new Deployment(knowsSince);
  for (const step of history) step(deployment);
}

describe("once strict replay is on", () => {
  it("nothing is admitted that any replica has admitted, before or since", () => {
    fc.assert(
      fc.property(histories, (history) => run(history, true)),
      { numRuns: 2000 },
    );
  });

  it("something is, where it is not known since when", () => {
    const forgetful = fc.property(histories, (history) => run(history, false));
    expect(fc.check(forgetful, { numRuns: 5000 }).failed).toBe(true);
  });

  it("what is signed from a few seconds on is admitted, though replicas restart", () => {
    const deployment = new Deployment(true);
    deployment.pass(WINDOW_MS);
    deployment.turnOn();
    deployment.pass(3001);
    const [one, other] = deployment.replicas;
    const use = one!.use("new");
    deployment.send(use, one!);
    expect(deployment.admitted.has(use)).toBe(true);
    expect(other!.admit(use, deployment.strictnessAt(other!), () => false)).toBe(false);
  });
});
