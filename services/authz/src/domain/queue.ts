/** What can stand in a queue: in one at a time. */
export interface Queued<T> {
  older: T | undefined;
  newer: T | undefined;
}

/**
 * First in, first out, and out of the middle, each in constant time. A Set keeps the places of what was deleted until
 * it is rebuilt, and looks through all of them for its first: measured at 44 µs for each entry of 40 000.
 */
export class Queue<T extends Queued<T>> {
  #oldest: T | undefined;
  #newest: T | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get oldest(): T | undefined {
    return this.#oldest;
  }

  add(item: T): void {
    item.older = this.#newest;
    item.newer = undefined;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
    this.#size++;
  }

  /** Puts another item where one stands in this queue. */
  replace(item: T, by: T): void {
    const { older, newer } = item;
    by.older = older;
    by.newer = newer;
    if (older === undefined) this.#oldest = by;
    else older.newer = by;
    if (newer === undefined) this.#newest = by;
    else newer.older = by;
    item.older = undefined;
    item.newer = undefined;
  }

  /** Takes out an item that stands in this queue. */
  remove(item: T): void {
    const { older, newer } = item;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    item.older = undefined;
    item.newer = undefined;
    this.#size--;
  }
}
