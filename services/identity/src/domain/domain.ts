import type { KeyFormat } from "@gatehouse/keys";
import type { Store } from "./store.ts";

/** What every rule works with. */
export interface Domain {
  readonly store: Store;
  readonly format: KeyFormat;
  readonly nowMs: () => number;
}
