import { encodeFreshness, type Position } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { type Decision, reasons } from "./decision.ts";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Proven } from "./freshness-gate.ts";
import type { Journal } from "./journal.ts";
import type { Receipt } from "./receipt.ts";
import type { Refusal } from "./refusal.ts";

export interface DecisionsOptions {
  readonly identityProof: Proven;
  readonly journal: Journal;
}

/** Puts decisions together: what was found, under an id, with where the state behind it stands. */
export class Decisions {
  readonly #options: DecisionsOptions;
  #shownPosition: Position | undefined;
  #shownToken = "";

  constructor(options: DecisionsOptions) {
    this.#options = options;
  }

  /** Counts the denial of a known key. Without `entry` the decision says nothing of a key. */
  make(
    { code, binding, retryAfterMs }: Refusal,
    resource: string,
    entry?: KeyEntry,
    target?: readonly AccountEntry[],
    warnings: readonly string[] = [],
    receipt?: Receipt,
  ): Decision {
    const { journal, identityProof } = this.#options;
    if (code !== "VALID" && entry !== undefined) {
      const account = (target ?? entry.accounts)[0]!;
      journal.denied(journal.series(entry.key.id, account.id, "requests", resource, code));
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
