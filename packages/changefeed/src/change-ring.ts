/**
 * Remembers which entities changed lately, and at which revision, so that a cache can tell whether an answer
 * read earlier is still true when it arrives: a read is stale if its entity changed after the revision it was
 * read at. What the ring no longer remembers counts as changed.
 *
 * Two generations, of which the older is forgotten whole when the younger is full: so a change costs the same however
 * many are remembered. Dropping the oldest one by one, a Map looks through all that it has dropped since it was rebuilt.
 */
export class ChangeRing {
  readonly #capacity: number;
  #younger = new Map<string, number>();
  #older = new Map<string, number>();
  /** The latest change in the older generation. */
  #olderUpTo: number;
  #latest: number;
  #floor: number;

  /** At least `capacity` entities, and at most twice as many; `floor` is the revision from which on changes are recorded. */
  constructor(capacity: number, floor: number) {
    this.#capacity = capacity;
    this.#floor = floor;
    this.#olderUpTo = floor;
    this.#latest = floor;
  }

  /** Revisions must not fall from one call to the next. */
  record(entityId: string, revision: number): void {
    if (this.#younger.size >= this.#capacity && !this.#younger.has(entityId)) {
      this.#floor = this.#olderUpTo;
      this.#older = this.#younger;
      this.#olderUpTo = this.#latest;
      this.#younger = new Map();
    }
    this.#younger.set(entityId, revision);
    this.#latest = revision;
  }

  /** Did the entity change after `revision`, as far as can be told? */
  changedAfter(entityId: string, revision: number): boolean {
    const changedAt = this.#younger.get(entityId) ?? this.#older.get(entityId) ?? -1;
    return revision < this.#floor || changedAt > revision;
  }
}
