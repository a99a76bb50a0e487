import { type ApiNode, Catalog, type EndpointTemplate } from "@gatehouse/access";
import type { Position } from "@gatehouse/changefeed";
import { FollowedList, type ListedItems } from "./followed-list.ts";

/** The provider's catalog: which endpoint an HTTP call is to. */
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
  endpointOf(method: string, path: string): EndpointTemplate | undefined {
    return this.#catalog.endpointOf(method, path);
  }

  apply(revision: number, name: string, api: ApiNode | undefined): void {
    this.#list.apply(revision, name, api);
  }

  restart(head: Position): void {
    this.#list.restart(head);
  }
}
