/**
 * A bounded map that keeps what is used again: S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023). New entries pass through a small queue, from which only those that were used twice
 * reach the main one; so a scan over a million keys that come once cannot push out the ones that come always.
 * A ghost list remembers what was lately dropped from the small queue, and lets it straight into the main one.
 *
 * A hit sets one number and moves nothing.
 */
export class S3Fifo<V extends object> {
  readonly #slots = new Map<string, Slot<V>>();
  readonly #small = new Set<string>();
  readonly #main = new Set<string>();
  readonly #ghosts = new Set<string>();
  readonly #capacity: number;
  readonly #smallCapacity: number;
  readonly #onDrop: (value: V) => void;
  /** Entries that had to make room. */
  evictions = 0;

  /** `onDrop` is told of every value that leaves, whether evicted, replaced or deleted. */
  constructor(capacity: number, onDrop: (value: V) => void = () => {}) {
    this.#capacity = Math.max(capacity, 1);
    this.#smallCapacity = Math.max(Math.floor(capacity * SMALL_SHARE), 1);
    this.#onDrop = onDrop;
  }

  get size(): number {
    return this.#slots.size;
  }

  get(key: string): V | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    if (slot.uses < MAX_USES) slot.uses++;
    return slot.value;
  }

  /** Reads without counting it as a use. */
  peek(key: string): V | undefined {
    return this.#slots.get(key)?.value;
  }

  set(key: string, value: V): void {
    const slot = this.#slots.get(key);
    if (slot !== undefined) {
      this.#onDrop(slot.value);
      slot.value = value;
      return;
    }
    while (this.#slots.size >= this.#capacity) this.#evict();
    this.#slots.set(key, { value, uses: 0 });
    (this.#ghosts.delete(key) ? this.#main : this.#small).add(key);
  }

  delete(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#forget(key, slot);
  }

  clear(): void {
    for (const [key, slot] of this.#slots) this.#forget(key, slot);
    this.#ghosts.clear();
  }

  #evict(): void {
    this.evictions++;
    if (this.#small.size > this.#smallCapacity || this.#main.size === 0) this.#evictFromSmall();
    else this.#evictFromMain();
  }

  #evictFromSmall(): void {
    for (const key of this.#small) {
      const slot = this.#slots.get(key)!;
      if (slot.uses < PROMOTING_USES) {
        this.#forget(key, slot);
        this.#remember(key);
        return;
      }
      this.#small.delete(key);
      this.#main.add(key);
      slot.uses = 0;
    }
  }

  // Each use lets an entry go round once more, so this ends after MAX_USES rounds at the latest.
  #evictFromMain(): void {
    for (const key of this.#main) {
      const slot = this.#slots.get(key)!;
      if (slot.uses === 0) {
        this.#forget(key, slot);
        return;
      }
      slot.uses--;
      this.#main.delete(key);
      this.#main.add(key);
    }
  }

  #remember(key: string): void {
    this.#ghosts.add(key);
    if (this.#ghosts.size > this.#capacity) this.#ghosts.delete(this.#ghosts.values().next().value!);
  }

  #forget(key: string, slot: Slot<V>): void {
    this.#slots.delete(key);
    this.#small.delete(key);
    this.#main.delete(key);
    this.#onDrop(slot.value);
  }
}

interface Slot<V> {
  value: V;
  uses: number;
}

/**
 * The paper's numbers: a tenth for newcomers, uses counted to three, and two of them to stay. Not one: who fills
 * an entry reads it right after, so that each of a scan's has been used once.
 */
const SMALL_SHARE = 0.1;
const MAX_USES = 3;
const PROMOTING_USES = 2;
