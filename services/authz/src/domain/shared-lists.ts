import type { KeyNode } from "@gatehouse/access";
import { bytesOfEndpoints, bytesOfScopeList } from "./entry-bytes.ts";

type List = KeyNode["scopes"] | KeyNode["endpoints"];

/**
 * What the lists of cached keys weigh. Most keys share theirs, with all that it compiles to, so that each list counts
 * once, however many keys have it.
 */
export class SharedLists {
  readonly #holders = new Map<List, number>();
  #bytes = 0;

  /** What all of them weigh. */
  get bytes(): number {
    return this.#bytes;
  }

  hold({ scopes, endpoints }: KeyNode): void {
    if (this.#isFirst(scopes)) this.#bytes += bytesOfScopeList(scopes);
    if (this.#isFirst(endpoints)) this.#bytes += bytesOfEndpoints(endpoints);
  }

  release({ scopes, endpoints }: KeyNode): void {
    if (this.#wasLast(scopes)) this.#bytes -= bytesOfScopeList(scopes);
    if (this.#wasLast(endpoints)) this.#bytes -= bytesOfEndpoints(endpoints);
  }

  #isFirst(list: List): boolean {
    const holders = (this.#holders.get(list) ?? 0) + 1;
    this.#holders.set(list, holders);
    return holders === 1;
  }

  #wasLast(list: List): boolean {
    const holders = this.#holders.get(list)! - 1;
    if (holders === 0) this.#holders.delete(list);
    else this.#holders.set(list, holders);
    return holders === 0;
  }
}
