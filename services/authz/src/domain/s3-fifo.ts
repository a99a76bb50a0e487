import { Queue, type Queued } from "./queue.ts";

/**
 * A bounded map that keeps what is used again: S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023). New entries pass through a small queue, from which only those that were used twice
 * reach the main one; so a scan over a million keys that come once cannot push out the ones that come always.
 * A ghost list remembers what was lately dropped from the small queue, and lets it straight into the main one.
 *
 * A hit sets one number and moves nothing. Where entries are weighed, the small queue is a tenth by weight, too.
 */
export class S3Fifo<V extends object> {
  readonly #slots = new Map<string, Slot<V>>();
  readonly #small = new Queue<Slot<V>>();
  readonly #main = new Queue<Slot<V>>();
  /** Two generations: the older is forgotten whole when the younger is full. */
  #ghosts = new Set<string>();
  #olderGhosts = new Set<string>();
  readonly #capacity: number;
  readonly #smallCapacity: number;
  readonly #onDrop: (value: V) => void;
  readonly #weigh: (value: V) => number;
  #smallWeight = 0;
  #mainWeight = 0;
  /** Entries that had to make room. */
  evictions = 0;

  /** `onDrop` is told of every value that leaves, whether evicted, replaced or deleted. */
  constructor(
    capacity: number,
    onDrop: (value: V) => void = () => {},
    weigh: (value: V) => number = () => 0,
  ) {
    this.#capacity = Math.max(capacity, 1);
    this.#smallCapacity = Math.max(Math.floor(capacity * SMALL_SHARE), 1);
    this.#onDrop = onDrop;
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** What all the entries weigh, by what each weighed when it was set. */
  get weight(): number {
    return this.#smallWeight + this.#mainWeight;
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
    const weight = this.#weigh(value);
    const slot = this.#slots.get(key);
    if (slot !== undefined) {
      this.#onDrop(slot.value);
      this.#addWeight(slot, weight - slot.weight);
      slot.value = value;
      slot.weight = weight;
      return;
    }
    while (this.#slots.size >= this.#capacity) this.evict();
    const isMain = this.#ghosts.delete(key) || this.#olderGhosts.delete(key);
    const made = { key, value, weight, uses: 0, isMain, older: undefined, newer: undefined };
    this.#slots.set(key, made);
    this.#join(made);
  }

  delete(key: string): void {
    const slot = this.#slots.get(key);
    if (slot !== undefined) this.#forget(slot);
  }

  clear(): void {
    for (const slot of this.#slots.values()) this.#forget(slot);
    this.#ghosts.clear();
    this.#olderGhosts.clear();
  }

  /** Drops the entry whose turn it is, if there is any. */
  evict(): void {
    if (this.#slots.size === 0) return;
    this.evictions++;
    const isSmallFull =
      this.#small.size > this.#smallCapacity || this.#smallWeight > this.weight * SMALL_SHARE;
    if (isSmallFull || this.#main.size === 0) this.#evictFromSmall();
    else this.#evictFromMain();
  }

  #evictFromSmall(): void {
    for (let slot = this.#small.oldest; slot !== undefined; slot = this.#small.oldest) {
      if (slot.uses < PROMOTING_USES) {
        this.#forget(slot);
        this.#remember(slot.key);
        return;
      }
      this.#leave(slot);
      slot.isMain = true;
      slot.uses = 0;
      this.#join(slot);
    }
    this.#evictFromMain();
  }

  // Each use lets an entry go round once more, so this ends after MAX_USES rounds at the latest.
  #evictFromMain(): void {
    for (let slot = this.#main.oldest; slot !== undefined; slot = this.#main.oldest) {
      if (slot.uses === 0) {
        this.#forget(slot);
        return;
      }
      slot.uses--;
      this.#main.remove(slot);
      this.#main.add(slot);
    }
  }

  #remember(key: string): void {
    this.#ghosts.add(key);
    // As many as there are entries, in two halves, however few of those fit.
    if (this.#ghosts.size <= this.#slots.size / 2) return;
    this.#olderGhosts = this.#ghosts;
    this.#ghosts = new Set();
  }

  #forget(slot: Slot<V>): void {
    this.#slots.delete(slot.key);
    this.#leave(slot);
    this.#onDrop(slot.value);
  }

  #join(slot: Slot<V>): void {
    (slot.isMain ? this.#main : this.#small).add(slot);
    this.#addWeight(slot, slot.weight);
  }

  #leave(slot: Slot<V>): void {
    (slot.isMain ? this.#main : this.#small).remove(slot);
    this.#addWeight(slot, -slot.weight);
  }

  #addWeight({ isMain }: Slot<V>, weight: number): void {
    if (isMain) this.#mainWeight += weight;
    else this.#smallWeight += weight;
  }
}

interface Slot<V> extends Queued<Slot<V>> {
  readonly key: string;
  value: V;
  weight: number;
  uses: number;
  isMain: boolean;
}

/**
 * The paper's numbers: a tenth for newcomers, uses counted to three, and two of them to stay. Not one: who fills
 * an entry reads it right after, so that each of a scan's has been used once.
 */
const SMALL_SHARE = 0.1;
const MAX_USES = 3;
const PROMOTING_USES = 2;
