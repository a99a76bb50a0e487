import type { KeyFormat } from "@gatehouse/keys";
import type { Plan } from "./plan.ts";
import type { Store } from "./store.ts";

/** What every rule works with. */
export interface Domain {
  readonly store: Store;
  readonly format: KeyFormat;
  /** The one plan there is. */
  readonly plan: Plan;
  readonly nowMs: () => number;
}
