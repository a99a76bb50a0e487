import { type Position, SharedRead } from "@gatehouse/changefeed";
import { unavailable } from "@gatehouse/service/failure";

/** What the provider declares and identity lists whole, by name. */
export interface ListedItems<T> {
  /** The position at which it is true. */
  readonly position: Position;
  readonly items: ReadonlyMap<string, T>;
}

/** Where the items are kept, in the form that they are used in. */
export interface ItemStore<T> {
  clear(): void;
  put(name: string, item: T): void;
  delete(name: string): void;
}

/** A read that came too late to be believed is read again, this often. */
const MAX_READS = 3;

/**
 * A short list of the provider's that is read whole when it is first needed and kept true by the feed. The rule is
 * that of the cache of keys: what was read before a change of the list that is known here is not believed, and a change
 * that the read has already seen is passed over.
 */
export class FollowedList<T> {
  readonly #store: ItemStore<T>;
  readonly #read: SharedRead<void>;
  #incarnation: string | undefined;
  #changedAt = 0;
  #filledAt: number | undefined;

  /** `read` settles within its own deadline. */
  constructor(read: () => Promise<ListedItems<T>>, store: ItemStore<T>) {
    this.#store = store;
    this.#read = new SharedRead(async () => {
      for (let n = 1; n <= MAX_READS; n++) if (this.#take(await read())) return;
      throw unavailable("what identity lists changes faster than it is read");
    });
  }

  get isFilled(): boolean {
    return this.#filledAt !== undefined;
  }

  /** Reads the list, as it is after this call. Rejects where identity does not answer. */
  fill(): Promise<void> {
    return this.#read.read();
  }

  /** A change of one item; undefined where it is gone. */
  apply(revision: number, name: string, item: T | undefined): void {
    this.#changedAt = revision;
    if (this.#filledAt === undefined || revision <= this.#filledAt) return;
    if (item === undefined) this.#store.delete(name);
    else this.#store.put(name, item);
  }

  restart(head: Position): void {
    this.#store.clear();
    this.#incarnation = head.incarnation;
    this.#changedAt = head.revision;
    this.#filledAt = undefined;
  }

  #take({ position, items }: ListedItems<T>): boolean {
    const { incarnation, revision } = position;
    if (incarnation !== this.#incarnation || revision < this.#changedAt) return false;
    this.#store.clear();
    for (const [name, item] of items) this.#store.put(name, item);
    this.#filledAt = revision;
    return true;
  }
}
