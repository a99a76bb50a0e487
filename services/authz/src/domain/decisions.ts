import { encodeFreshness, type Position } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { type Decision, type DecisionCode, reasons } from "./decision.ts";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Proven } from "./freshness-gate.ts";
import type { Journal } from "./journal.ts";
import type { Receipt } from "./receipt.ts";
import { CAUSES, type Cause, type Refusal } from "./refusal.ts";
import type { Reserved } from "./reservations.ts";

export interface DecisionsOptions {
  readonly identityProof: Proven;
  readonly journal: Journal;
}

/** How often each code was decided, and what for where nothing could be. Read by those who watch. */
export class DecisionCounts {
  readonly codes = countersOf(Object.keys(reasons) as DecisionCode[]);
  readonly causes = countersOf(CAUSES);

  count(code: DecisionCode, cause: Cause = "identity"): void {
    this.codes[code]++;
    if (code === "INDETERMINATE") this.causes[cause]++;
  }
}

function countersOf<T extends string>(names: readonly T[]): Record<T, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<T, number>;
}

/** Puts decisions together: what was found, under an id, with where the state behind it stands. */
export class Decisions {
  readonly counts = new DecisionCounts();
  readonly #options: DecisionsOptions;
  #shownPosition: Position | undefined;
  #shownToken = "";

  constructor(options: DecisionsOptions) {
    this.#options = options;
  }

  /** Counts the denial of a known key. Without `entry` the decision says nothing of a key. */
  make(
    { code, reason, cause, binding, retryAfterMs }: Refusal,
    resource: string,
    entry?: KeyEntry,
    target?: readonly AccountEntry[],
    warnings: readonly string[] = [],
    receipt?: Receipt,
    reserved?: Reserved,
  ): Decision {
    const { journal, identityProof } = this.#options;
    if (code !== "VALID" && entry !== undefined) {
      const account = (target ?? entry.accounts)[0]!;
      journal.denied(journal.series(entry.key.id, account.id, "requests", resource, code));
    }
    // What charged is counted once it is known whether it was written down.
    if (receipt === undefined) this.counts.count(code, cause);
    return {
      code,
      reason: reason ?? reasons[code],
      decisionId: reserved?.decisionId ?? mintId("dec"),
      reservedUntilMs: reserved?.expiresAtMs,
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
