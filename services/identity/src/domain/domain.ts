import type { RefusalRecord } from "@gatehouse/access";
import type { KeyFormat, Sealer } from "@gatehouse/keys";
import type { Holdings } from "./accounts/holdings.ts";
import type { FairShare } from "./rules/fair-share.ts";
import type { Store } from "./store.ts";

/** What every rule works with. */
export interface Domain {
  readonly store: Store;
  readonly format: KeyFormat;
  /** Of secrets that are needed again; the context is the id of what they belong to. */
  readonly sealer: Sealer;
  /** What metering holds for accounts. */
  readonly holdings: Holdings;
  /** Of the changes that may be under way. */
  readonly shares: FairShare;
  /** Of the refused attempts that are put on record. */
  readonly refusals: RefusalRecord;
  /** Webhooks may be at `http` addresses; for development and tests. */
  readonly insecureWebhooks: boolean;
  readonly nowMs: () => number;
}
