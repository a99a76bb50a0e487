import type { EndpointNode } from "./node.ts";

/**
 * Equal things as one: of a million keys most are given the same few lists, in a few accounts. What is shared is
 * compiled once, too, since that is remembered by the list.
 *
 * It forgets in two generations: what is used stays, and what was forgotten is only shared no longer.
 */
class Shared<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  of(name: string, make: () => V): V {
    const known = this.#young.get(name);
    if (known !== undefined) return known;
    const value = this.#old.get(name) ?? make();
    if (this.#young.size >= CAPACITY) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, value);
    return value;
  }
}

/** Of each kind and generation: with the longest of names some 24 MB in all, in practice one. */
const CAPACITY = 4096;
/** Longer ones are as good as never equal, and a table of them would be large. */
const MAX_NAME_LENGTH = 1000;

/** Most lists of most keys. */
const NONE: readonly never[] = Object.freeze([]);
const lists = new Shared<readonly unknown[]>();
const texts = new Shared<string>();

/** A list that is equal to this one, and the same for all that are. Frozen: it is many nodes'. */
export function sharedList<T extends string | EndpointNode>(list: readonly T[]): readonly T[] {
  if (list.length === 0) return NONE;
  // Written so, no two lists have one name, whatever is in them.
  const name = JSON.stringify(list);
  const copy = () => Object.freeze(list.slice());
  return name.length > MAX_NAME_LENGTH ? copy() : (lists.of(name, copy) as readonly T[]);
}

/** A string that is equal to this one, and the same in memory for all that are. */
export function sharedText(text: string): string {
  return text.length > MAX_NAME_LENGTH ? text : texts.of(text, () => text);
}
