import type { ApiNode } from "@gatehouse/access";
import type { Position, Replica } from "@gatehouse/changefeed";
import type { CatalogBook } from "./catalog-book.ts";
import type { IdentityCache, NodeChange } from "./identity-cache.ts";
import type { MeterBook } from "./meter-book.ts";

/** What changed, with its state at that revision or later. */
export interface IdentityChange extends NodeChange {
  readonly meter?: { readonly name: string; readonly isDeleted: boolean } | undefined;
  /** `node` is undefined where the API is gone. */
  readonly api?: { readonly name: string; readonly node: ApiNode | undefined } | undefined;
}

/** All that authz keeps of identity, moved along its log together. */
export class IdentityReplica implements Replica<IdentityChange> {
  readonly #cache: IdentityCache;
  readonly #meters: MeterBook;
  readonly #catalog: CatalogBook;

  constructor(cache: IdentityCache, meters: MeterBook, catalog: CatalogBook) {
    this.#cache = cache;
    this.#meters = meters;
    this.#catalog = catalog;
  }

  position(): Position | undefined {
    return this.#cache.position();
  }

  apply(after: Position, changes: readonly IdentityChange[]): Position {
    for (const { revision, meter, api } of changes) {
      if (meter !== undefined) this.#meters.apply(revision, meter.name, meter.isDeleted);
      if (api !== undefined) this.#catalog.apply(revision, api.name, api.node);
    }
    return this.#cache.apply(after, changes);
  }

  restart(head: Position): Position {
    this.#meters.restart(head);
    this.#catalog.restart(head);
    return this.#cache.restart(head);
  }
}
