import type { Reads } from "../store.ts";
import { type EffectiveAccess, effectiveAccess } from "./effective-access.ts";
import type { Key, KeyInTree } from "./key.ts";
import { catalogOf, NO_CATALOG } from "./key-fields.ts";

/** A key with what its owner is shown beside it. */
export interface ShownKey {
  readonly key: Key;
  /** Its endpoints as people call them; empty for those that are gone from the catalog. */
  readonly endpointTitles: readonly string[];
  /** When the last of its earlier credentials ends; undefined where none is in its grace. */
  readonly graceEndsAtMs: number | undefined;
  readonly lastUsedAt: Date | undefined;
  readonly effective: EffectiveAccess;
}

/** Keys of one account as their owner is shown them now. Takes one read, where any is held to endpoints. */
export async function showKeys(
  reads: Pick<Reads, "definitions">,
  views: readonly KeyInTree[],
  nowMs: number,
): Promise<ShownKey[]> {
  const bound = views.find(({ key }) => key.endpoints.length > 0);
  const catalog = bound === undefined ? NO_CATALOG : await catalogOf(reads, bound.chain);
  return views.map((view) => ({
    key: view.key,
    endpointTitles: view.key.endpoints.map(({ name }) => catalog.get(name)?.title ?? ""),
    graceEndsAtMs: graceEnd(view.key, nowMs),
    lastUsedAt: view.lastUsedAt,
    effective: effectiveAccess(view, nowMs),
  }));
}

export async function showKey(
  reads: Pick<Reads, "definitions">,
  view: KeyInTree,
  nowMs: number,
): Promise<ShownKey> {
  const [shown] = await showKeys(reads, [view], nowMs);
  return shown!;
}

function graceEnd({ retiringHashes, signing }: Key, nowMs: number): number | undefined {
  const ends = [...retiringHashes, ...(signing?.keys ?? [])].flatMap(({ untilMs }) => untilMs ?? []);
  const last = Math.max(...ends);
  return last > nowMs ? last : undefined;
}
