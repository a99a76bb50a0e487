import type { KeyView } from "@gatehouse/access";
import { Explainer } from "./explain.ts";
import type { BucketReading } from "./explain-buckets.ts";
import type { MoneyReading } from "./explain-wallets.ts";
import type { Explanation } from "./explanation.ts";
import { peekingVerifier } from "./peek.ts";
import { FREE } from "./price-book.fixture.ts";
import type { Prices } from "./price-book.ts";
import { callOf, TestVerifier } from "./verify.fixture.ts";
import type { VerifyCall } from "./verify-call.ts";

/** A verifier that also explains, over buckets in the test's hands. */
export class TestExplainer extends TestVerifier {
  /** What metering answers, in the order of the nodes; undefined: nothing. */
  readings: readonly BucketReading[] | undefined = [];
  money: readonly MoneyReading[] = [];
  prices: Prices = FREE;
  /** How old the limits are that metering has proven. */
  limitsAgeMs = 0;
  /** What the replica has in hand, by limit. */
  readonly inHand = new Map<string, { held: number; isReturning: boolean }>();
  /** Node ids of each question for buckets. */
  readonly asked: (readonly string[])[] = [];
  readonly #explainer = new Explainer({
    ...this.options,
    verifier: peekingVerifier(this.options),
    buckets: {
      readBuckets: async ({ nodeIds }) => {
        this.asked.push(nodeIds);
        if (this.readings === undefined) throw new Error("metering is down");
        return { buckets: this.readings, money: this.money };
      },
    },
    pool: {
      inHand: (limitId) => {
        const { held, isReturning } = this.inHand.get(limitId) ?? { held: 0, isReturning: false };
        return { held, unspent: held, isReturning };
      },
      bucket: () => undefined,
      tellRates: async () => {},
    },
    prices: {
      edition: 0,
      isUsable: (nowMs) => this.prices.isUsable(nowMs),
      inForce: (use, nowMs) => this.prices.inForce(use, nowMs),
      fill: (nowMs) => this.prices.fill(nowMs),
    },
    meteringProof: { ageMs: () => this.limitsAgeMs },
    identityFreshness: () => "",
  });

  explain(call: Partial<VerifyCall>, verifier: KeyView = this.provider): Promise<Explanation> {
    return this.#explainer.explain(callOf(call), verifier);
  }

  undecided(): Explanation {
    return this.#explainer.undecided();
  }
}

/** A bucket of 100 units of which nothing is used. */
export function reading(
  node: string,
  limit: Partial<BucketReading["limit"]>,
  more: Partial<BucketReading> = {},
) {
  const whole = {
    nodeId: node,
    meter: "requests",
    pattern: "",
    kind: "quota",
    enforcement: "ENFORCE",
  } as const;
  return {
    limit: { id: `lim_${node}`, ...whole, ...limit },
    unitsPerMs: undefined,
    capacity: 100,
    used: 0,
    leased: 0,
    leasedHere: 0,
    remaining: 100,
    resetsAtMs: undefined,
    ...more,
  };
}
