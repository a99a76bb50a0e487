/**
 * Remembers which entities changed lately, and at which revision, so that a cache can tell whether an answer
 * read earlier is still true when it arrives: a read is stale if its entity changed after the revision it was
 * read at. What the ring no longer remembers counts as changed.
 */
export class ChangeRing {
  readonly #capacity: number;
  readonly #revisions = new Map<string, number>();
  #floor: number;

  /** `capacity` entities; `floor` is the revision from which on changes are recorded. */
  constructor(capacity: number, floor: number) {
    this.#capacity = capacity;
    this.#floor = floor;
  }

  /** Revisions must not fall from one call to the next. */
  record(entityId: string, revision: number): void {
    // Deleting first keeps the map in order of revision, so that the first is always the oldest.
    this.#revisions.delete(entityId);
    this.#revisions.set(entityId, revision);
    if (this.#revisions.size > this.#capacity) {
      const [oldest, at] = this.#revisions.entries().next().value!;
      this.#revisions.delete(oldest);
      this.#floor = at;
    }
  }

  /** Did the entity change after `revision`, as far as can be told? */
  changedAfter(entityId: string, revision: number): boolean {
    return revision < this.#floor || (this.#revisions.get(entityId) ?? -1) > revision;
  }
}
