import { Queue } from "./queue.ts";

/**
 * What an S3Fifo holds, in one at a time, with what that notes of it. Noted apart, a million entries would take 50 MB
 * more, and every hit one more read from memory that no cache of the processor has.
 */
export abstract class Cached {
  abstract readonly name: string;
  older: Cached | undefined = undefined;
  newer: Cached | undefined = undefined;
  uses = 0;
  isMain = false;
}

/**
 * A bounded map that keeps what is used again: S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023). New entries pass through a small queue, from which only those that were used twice
 * reach the main one; so a scan over a million keys that come once cannot push out the ones that come always.
 * A ghost list remembers what was lately dropped from the small queue, and lets it straight into the main one.
 *
 * A hit sets one number and moves nothing. Where entries are weighed, the small queue is a tenth by weight, too.
 */
export class S3Fifo<V extends Cached> {
  readonly #entries = new Map<string, V>();
  readonly #small = new Queue<Cached>();
  readonly #main = new Queue<Cached>();
  /** Two generations: the older is forgotten whole when the younger is full. */
  #ghosts = new Set<string>();
  #olderGhosts = new Set<string>();
  readonly #capacity: number;
  readonly #smallCapacity: number;
  readonly #onDrop: (entry: V) => void;
  readonly #weigh: (entry: V) => number;
  #smallWeight = 0;
  #mainWeight = 0;
  /** Entries that had to make room. */
  evictions = 0;

  /**
   * `onDrop` is told of every entry that leaves, whether evicted, replaced or deleted. What one weighs must stay the
   * same while it is here.
   */
  constructor(
    capacity: number,
    onDrop: (entry: V) => void = () => {},
    weigh: (entry: V) => number = () => 0,
  ) {
    this.#capacity = Math.max(capacity, 1);
    this.#smallCapacity = Math.max(Math.floor(capacity * SMALL_SHARE), 1);
    this.#onDrop = onDrop;
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What all the entries weigh. */
  get weight(): number {
    return this.#smallWeight + this.#mainWeight;
  }

  get(name: string): V | undefined {
    const entry = this.#entries.get(name);
    if (entry !== undefined && entry.uses < MAX_USES) entry.uses++;
    return entry;
  }

  /** Reads without counting it as a use. */
  peek(name: string): V | undefined {
    return this.#entries.get(name);
  }

  /** Puts an entry in, or in the place of the one that has its name. */
  set(entry: V): void {
    const { name } = entry;
    const former = this.#entries.get(name);
    if (former === undefined) {
      while (this.#entries.size >= this.#capacity) this.evict();
      entry.uses = 0;
      entry.isMain = this.#ghosts.delete(name) || this.#olderGhosts.delete(name);
      this.#entries.set(name, entry);
      this.#join(entry);
    } else if (former !== entry) {
      entry.uses = former.uses;
      entry.isMain = former.isMain;
      this.#entries.set(name, entry);
      this.#queueOf(entry).replace(former, entry);
      this.#addWeight(entry, this.#weigh(entry) - this.#weigh(former));
      this.#onDrop(former);
    }
  }

  delete(name: string): void {
    const entry = this.#entries.get(name);
    if (entry !== undefined) this.#forget(entry);
  }

  clear(): void {
    for (const entry of this.#entries.values()) this.#forget(entry);
    this.#ghosts.clear();
    this.#olderGhosts.clear();
  }

  /** Drops the entry whose turn it is, if there is any. */
  evict(): void {
    if (this.#entries.size === 0) return;
    this.evictions++;
    const isSmallFull =
      this.#small.size > this.#smallCapacity || this.#smallWeight > this.weight * SMALL_SHARE;
    if (isSmallFull || this.#main.size === 0) this.#evictFromSmall();
    else this.#evictFromMain();
  }

  #evictFromSmall(): void {
    for (let entry = this.#small.oldest; entry !== undefined; entry = this.#small.oldest) {
      if (entry.uses < PROMOTING_USES) {
        this.#forget(entry);
        this.#remember(entry.name);
        return;
      }
      this.#leave(entry);
      entry.isMain = true;
      entry.uses = 0;
      this.#join(entry);
    }
    this.#evictFromMain();
  }

  // Each use lets an entry go round once more, so this ends after MAX_USES rounds at the latest.
  #evictFromMain(): void {
    for (let entry = this.#main.oldest; entry !== undefined; entry = this.#main.oldest) {
      if (entry.uses === 0) {
        this.#forget(entry);
        return;
      }
      entry.uses--;
      this.#main.remove(entry);
      this.#main.add(entry);
    }
  }

  #remember(name: string): void {
    this.#ghosts.add(name);
    // As many as there are entries, in two halves, however few of those fit.
    if (this.#ghosts.size <= this.#entries.size / 2) return;
    this.#olderGhosts = this.#ghosts;
    this.#ghosts = new Set();
  }

  #forget(entry: Cached): void {
    this.#entries.delete(entry.name);
    this.#leave(entry);
    this.#onDrop(entry as V);
  }

  #join(entry: Cached): void {
    this.#queueOf(entry).add(entry);
    this.#addWeight(entry, this.#weigh(entry as V));
  }

  #leave(entry: Cached): void {
    this.#queueOf(entry).remove(entry);
    this.#addWeight(entry, -this.#weigh(entry as V));
  }

  #queueOf({ isMain }: Cached): Queue<Cached> {
    return isMain ? this.#main : this.#small;
  }

  #addWeight({ isMain }: Cached, weight: number): void {
    if (isMain) this.#mainWeight += weight;
    else this.#smallWeight += weight;
  }
}

/**
 * The paper's numbers: a tenth for newcomers, uses counted to three, and two of them to stay. Not one: who fills
 * an entry reads it right after, so that each of a scan's has been used once.
 */
const SMALL_SHARE = 0.1;
const MAX_USES = 3;
const PROMOTING_USES = 2;
