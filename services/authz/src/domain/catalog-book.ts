import { type ApiNode, Catalog } from "@gatehouse/access";
import type { Position } from "@gatehouse/changefeed";
import { FollowedList, type ListedItems } from "./followed-list.ts";

/** The provider's catalog: which resource an HTTP call takes. */
export class CatalogBook {
  readonly #catalog = new Catalog();
  readonly #list: FollowedList<ApiNode>;

  /** `read` lists every API, within its own deadline. */
  constructor(read: () => Promise<ListedItems<ApiNode>>) {
    this.#list = new FollowedList(read, {
      clear: () => this.#catalog.clear(),
      put: (_name, api) => this.#catalog.put(api),
      delete: (name) => this.#catalog.delete(name),
    });
  }

  get isFilled(): boolean {
    return this.#list.isFilled;
  }

  /** Rejects where identity does not answer. */
  fill(): Promise<void> {
    return this.#list.fill();
  }

  /** Undefined where nothing matches. */
  resourceOf(method: string, path: string): string | undefined {
    return this.#catalog.resourceOf(method, path);
  }

  apply(revision: number, name: string, api: ApiNode | undefined): void {
    this.#list.apply(revision, name, api);
  }

  restart(head: Position): void {
    this.#list.restart(head);
  }
}
