import { ceilingsOf } from "@gatehouse/access";
import { type AccountEntry, grantChangesOf, type KeyEntry } from "./entry.ts";
import type { Need } from "./lease-source.ts";
import type { NodeLimits } from "./limit-book.ts";
import type { LocalBucket } from "./local-bucket.ts";
import type { PriceTerms, Tolls } from "./toll.ts";

/** Units that one call takes from one bucket. */
export interface Due {
  readonly bucket: LocalBucket;
  readonly units: number;
}

/** Which buckets a call draws on, as long as none of the nodes' limits changes, and no price. */
export interface ChargePlan {
  readonly needs: readonly Need[];
  readonly nodes: readonly NodeLimits[];
  /** Limits', then the tolls': those of wallets are of the call that is looked at. */
  readonly due: readonly Due[];
  /** What prices it was looked up for. */
  readonly terms: PriceTerms;
  /** Undefined where the call is free. */
  readonly tolls: Tolls | undefined;
  /** Of the price book. */
  readonly edition: number;
  /** Wall time from which another price may be in force. */
  readonly untilMs: number;
}

/**
 * What the calls of one key to one resource of one account have in common: only what cannot change with the key's
 * entry, and the plan, which knows whether it still holds.
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
  /** What they were priced by. */
  seriesTolls: Tolls | undefined;

  constructor(entry: KeyEntry, target: readonly AccountEntry[], resource: string) {
    this.target = target;
    this.resource = resource;
    this.isAllowed =
      resource === "" ||
      (entry.grant.allows(resource) && (target === entry.accounts || passes(target, resource)));
    this.grantsAsOf = grantsAsOf(entry, target);
    const keyIds = entry.parent === undefined ? [entry.key.id] : [entry.key.id, entry.parent.id];
    this.nodeIds = keyIds.concat(target.map((account) => account.id));
  }
}

/**
 * The latest path of each key that called lately: a warm key asks for the same thing again and again. Of a million cold
 * ones each would be larger than all else that is kept of the key, and is worked out in a microsecond.
 *
 * It forgets in two generations: what was used since the younger began survives the end of the older.
 */
export class ChargePaths {
  #young = new Map<KeyEntry, ChargePath>();
  #old = new Map<KeyEntry, ChargePath>();

  /** The path of a call; a warm key's is at hand. */
  of(entry: KeyEntry, target: readonly AccountEntry[], resource: string): ChargePath {
    const young = this.#young.get(entry);
    const path = young ?? this.#old.get(entry);
    if (path === undefined || !leads(path, entry, target, resource)) {
      return this.#keep(entry, new ChargePath(entry, target, resource));
    }
    return young ?? this.#keep(entry, path);
  }

  #keep(entry: KeyEntry, path: ChargePath): ChargePath {
    if (this.#young.size >= WARM_KEYS) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(entry, path);
    return path;
  }
}

/** Of each generation: some 10 MB in both, and more than call within a second where each is charged by itself. */
const WARM_KEYS = 8192;

function leads(
  path: ChargePath,
  entry: KeyEntry,
  target: readonly AccountEntry[],
  resource: string,
): boolean {
  return (
    path.target === target && path.resource === resource && path.grantsAsOf === grantsAsOf(entry, target)
  );
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
