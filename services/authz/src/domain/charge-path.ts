import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Need } from "./lease-source.ts";
import type { NodeLimits } from "./limit-book.ts";
import type { LocalBucket } from "./local-bucket.ts";

/** Units that one call takes from one bucket. */
export interface Due {
  readonly bucket: LocalBucket;
  readonly units: number;
}

/** Which buckets a call draws on, as long as none of the nodes' limits changes. */
export interface ChargePlan {
  readonly needs: readonly Need[];
  readonly nodes: readonly NodeLimits[];
  readonly due: readonly Due[];
}

/**
 * What the calls of one key to one resource of one account have in common. A warm key asks for the same thing
 * again and again, so its entry keeps the latest: only what cannot change with the entry, and the plan, which
 * knows whether it still holds.
 */
export class ChargePath {
  readonly target: readonly AccountEntry[];
  readonly resource: string;
  readonly isAllowed: boolean;
  /** Who is charged: key, parent key, account, ancestors up to the root. */
  readonly nodeIds: readonly string[];
  plan: ChargePlan | undefined;
  /** The journal's handles, one for each of the needs in `seriesOf`. */
  series: readonly object[] = [];
  seriesOf: readonly Need[] | undefined;

  constructor(entry: KeyEntry, target: readonly AccountEntry[], resource: string) {
    this.target = target;
    this.resource = resource;
    this.isAllowed = resource === "" || entry.grant.allows(resource);
    const keyIds = entry.parent === undefined ? [entry.key.id] : [entry.key.id, entry.parent.key.id];
    this.nodeIds = [...keyIds, ...target.map((account) => account.id)];
  }
}
