import { encodeFreshness, type Moment, type Position } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { type Decision, type DecisionCode, reasons } from "./decision.ts";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Proven } from "./freshness-gate.ts";
import type { Journal } from "./journal.ts";
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

/** What a decision that charged says of that. */
interface Charge extends Pick<Decision, "warnings" | "cost" | "receipt"> {
  readonly reserved: Reserved | undefined;
}

const UNCHARGED: Charge = { warnings: [], cost: undefined, receipt: undefined, reserved: undefined };

/** Puts decisions together: what was found, under an id, with where the state behind it stands. */
export class Decisions {
  readonly counts = new DecisionCounts();
  readonly #options: DecisionsOptions;
  #shownPosition: Position | undefined;
  #shownToken = "";

  constructor(options: DecisionsOptions) {
    this.#options = options;
  }

  /**
   * What was found at a moment, of a key where it is known. Counts its denial. Where the code is NOT_FOUND the decision
   * says nothing of it.
   */
  make(
    now: Moment,
    { code, reason, cause, binding, retryAfterMs }: Refusal,
    resource: string,
    known?: KeyEntry,
    actedOn?: readonly AccountEntry[],
    { warnings, cost, receipt, reserved }: Charge = UNCHARGED,
  ): Decision {
    const { journal, identityProof } = this.#options;
    const entry = code === "NOT_FOUND" ? undefined : known;
    const target = entry && (actedOn ?? entry.accounts);
    if (code !== "VALID" && entry !== undefined) {
      const accountId = target![0]!.id;
      const name = { keyId: entry.key.id, accountId, meter: "requests", resource, outcome: code };
      journal.denied(journal.series(name));
    }
    // What charged is counted once it is known whether it was written down.
    if (receipt === undefined) this.counts.count(code, cause);
    return {
      code,
      reason: reason ?? reasons[code],
      decisionId: reserved?.decisionId ?? mintId("dec"),
      reservedUntilMs: reserved?.expiresAtMs,
      entry,
      target,
      binding,
      warnings,
      cost,
      retryAfterMs,
      freshness: this.#freshnessToken(),
      stalenessMs: Math.min(identityProof.ageMs(now), Number.MAX_SAFE_INTEGER),
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
