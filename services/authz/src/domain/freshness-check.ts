import type { Moment } from "@gatehouse/changefeed";
import { type FreshnessGate, hasReached, type Proven } from "./freshness-gate.ts";
import type { IdentityReader } from "./identity-reader.ts";
import { isUndecided, type Refusal, undecidable, undecidableFor } from "./refusal.ts";
import { during } from "./trace.ts";
import type { VerifyCall } from "./verify-call.ts";
import type { Wait } from "./wait.ts";

export interface FreshnessCheckOptions {
  readonly identity: Pick<IdentityReader, "catchUp">;
  readonly identityProof: Proven;
  readonly identityGate: FreshnessGate;
  readonly meteringProof: Proven;
}

/** Whether what is cached of identity may answer a call: by the age that it was proven at, and by the tokens it names. */
export class FreshnessCheck {
  readonly #options: FreshnessCheckOptions;

  constructor(options: FreshnessCheckOptions) {
    this.#options = options;
  }

  /** Undefined: it may. `refusal` is what the wait before found out. */
  of({ atLeastAsFresh }: VerifyCall, refusal: Refusal | undefined, now: Moment): Wait | Refusal | undefined {
    const { identity, identityProof, identityGate, meteringProof } = this.#options;
    switch (identityGate.check(identityProof.ageMs(now))) {
      case "prove":
        return this.proofUnless(refusal);
      case "too-old":
        return undecidable;
    }
    for (const token of atLeastAsFresh) {
      const proof = token.source === "identity" ? identityProof : meteringProof;
      if (hasReached(proof, token)) continue;
      if (isUndecided(refusal)) return refusal;
      return (trace) =>
        during(trace, "catch up", () => identity.catchUp(proof, token)).then((reached) =>
          reached ? undefined : undecidableFor(token.source),
        );
    }
    return undefined;
  }

  /** A proof begun from now on, unless the wait before found out that nothing can be decided. */
  proofUnless(refusal: Refusal | undefined): Wait | Refusal {
    return isUndecided(refusal) ? refusal : this.#proof;
  }

  readonly #proof: Wait = async (trace) => {
    // Whether it failed is for the next attempt to judge, by the age of what is here.
    await during(trace, "prove freshness", () => this.#options.identityGate.prove());
    return undefined;
  };
}
