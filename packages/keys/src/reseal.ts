import { SealError, type Sealer } from "./sealer.ts";

/** A row that holds sealed secrets, and the id that they are sealed for. */
export interface SealedRow {
  readonly id: string;
  readonly sealed: readonly string[];
}

/** Somewhere that sealed secrets are kept: a table, in which what names a row is the context. */
export interface SealedPlace {
  readonly name: string;
  /** Rows after an id, by id, that hold anything that does not begin with `start`. */
  stale(start: string, after: string, limit: number): Promise<SealedRow[]>;
  /** Puts others in the place of those that were read; does nothing where they were changed meanwhile. */
  replace(row: SealedRow, sealed: readonly string[]): Promise<void>;
}

/** What one walk over all places did. */
export interface Resealed {
  readonly rows: number;
  /** Rows that cannot be opened with the keys there are: `place id`. The first of them. */
  readonly lost: readonly string[];
}

/** Rows of one read. */
const SLICE = 200;
const MAX_NAMED = 10;

/**
 * Seals everything anew that is not sealed with the current key. What is sealed stays the same, so nothing changes
 * for anybody and nothing is put on the change log: a follower that has the old seal has the old key too, and starts
 * without either. A mutation that writes an old seal back is met by the next walk.
 */
export async function reseal(
  sealer: Sealer,
  places: readonly SealedPlace[],
  signal: AbortSignal,
): Promise<Resealed> {
  let rows = 0;
  const lost: string[] = [];
  for (const place of places) {
    for (let after = "", more = true; more && !signal.aborted; ) {
      const slice = await place.stale(sealer.currentStart, after, SLICE);
      for (const row of slice) {
        const sealed = resealed(sealer, row);
        if (sealed === undefined) lost.push(`${place.name} ${row.id}`);
        else await place.replace(row, sealed);
        rows += sealed === undefined ? 0 : 1;
      }
      after = slice.at(-1)?.id ?? after;
      more = slice.length === SLICE;
    }
  }
  return { rows, lost: lost.slice(0, MAX_NAMED) };
}

function resealed(sealer: Sealer, { id, sealed }: SealedRow): string[] | undefined {
  try {
    return sealed.map((secret) => sealer.reseal(secret, id));
  } catch (error) {
    if (error instanceof SealError) return undefined;
    throw error;
  }
}
