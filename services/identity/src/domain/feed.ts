import type { AccountNode, KeyNode } from "@gatehouse/access";
import type { DefaultLimit, Endpoint } from "./definitions/definition.ts";
import type { AccountName } from "./store.ts";

/** A position in the change log. */
export interface Position {
  readonly incarnation: string;
  readonly revision: number;
}

/** A thing that followers keep, as it is at the position that it was read at. */
export type Entity =
  | { readonly kind: "account"; readonly account: AccountNode }
  | { readonly kind: "key"; readonly key: KeyNode }
  | { readonly kind: "meter"; readonly meter: { readonly name: string } }
  | { readonly kind: "api"; readonly name: string; readonly endpoints: readonly Endpoint[] }
  | { readonly kind: "plan"; readonly name: string; readonly defaultLimits: readonly DefaultLimit[] }
  /** What has nothing but a name any more. */
  | { readonly kind: "gone"; readonly of: "meter" | "api" | "plan"; readonly name: string };

export interface FeedChange {
  readonly revision: number;
  readonly entity: Entity;
}

/** What followers read. Everything in one answer is of one snapshot, true at the answer's position. */
export interface Feed {
  head(): Promise<Position>;
  /** Throws Failure OUT_OF_RANGE (LOG_TRUNCATED). */
  changesAfter(after: Position, limit: number): Promise<{ changes: FeedChange[]; head: Position }>;
  resolveKeys(
    keyIds: readonly string[],
  ): Promise<{ position: Position; keys: KeyNode[]; accounts: AccountNode[] }>;
  resolveAccounts(
    names: readonly AccountName[],
  ): Promise<{ position: Position; accountIds: (string | undefined)[]; accounts: AccountNode[] }>;
  /** As `resolveKeys`, by the hashes of imported credentials; the ids are in the order of the hashes. */
  resolveHashes(hashes: readonly string[]): Promise<{
    position: Position;
    keyIds: (string | undefined)[];
    keys: KeyNode[];
    accounts: AccountNode[];
  }>;
  /** Every API of the catalog. */
  catalog(): Promise<{ position: Position; apis: { name: string; endpoints: readonly Endpoint[] }[] }>;
  meters(): Promise<{ position: Position; names: string[] }>;
  /** Everything, accounts before what hangs below them. */
  snapshot(): AsyncIterable<{ position: Position; entities: Entity[] }>;
}
