import { ceilingsOf } from "@gatehouse/access";
import { type AccountEntry, grantChangesOf, type KeyEntry } from "./entry.ts";
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
  /** Whether it is stands and falls with this. */
  readonly grantsAsOf: number;
  /** Who is charged: key, parent key, account, ancestors up to the root. */
  readonly nodeIds: readonly string[];
  plan: ChargePlan | undefined;
  /** The journal's handles, one for each of the needs in `seriesOf`. */
  series: readonly object[] = [];
  seriesOf: readonly Need[] | undefined;

  constructor(entry: KeyEntry, target: readonly AccountEntry[], resource: string) {
    this.target = target;
    this.resource = resource;
    this.isAllowed =
      resource === "" ||
      (entry.grant.allows(resource) && (target === entry.accounts || passes(target, resource)));
    this.grantsAsOf = grantsAsOf(entry, target);
    const keyIds = entry.parent === undefined ? [entry.key.id] : [entry.key.id, entry.parent.key.id];
    this.nodeIds = [...keyIds, ...target.map((account) => account.id)];
  }
}

/** The path of a call; a warm key's is at hand. */
export function pathOf(entry: KeyEntry, target: readonly AccountEntry[], resource: string): ChargePath {
  const { latestPath } = entry;
  if (
    latestPath !== undefined &&
    latestPath.target === target &&
    latestPath.resource === resource &&
    latestPath.grantsAsOf === grantsAsOf(entry, target)
  ) {
    return latestPath;
  }
  entry.latestPath = new ChargePath(entry, target, resource);
  return entry.latestPath;
}

/** Do two calls ask for the same? Those that name no charges share one list; others bring their own each time. */
export function sameNeeds(left: readonly Need[], right: readonly Need[]): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  return left.every(({ meter, units }, i) => meter === right[i]!.meter && units === right[i]!.units);
}

/** Changes with everything that a path's scope check depends on, besides key and resource. */
function grantsAsOf(entry: KeyEntry, target: readonly AccountEntry[]): number {
  const own = grantChangesOf(entry.accounts);
  return target === entry.accounts ? own : own + grantChangesOf(target);
}

// What a key does on another account stays within the ceilings of that one, too.
function passes(target: readonly AccountEntry[], resource: string): boolean {
  return ceilingsOf(target).every((ceiling) => ceiling.allows(resource));
}
