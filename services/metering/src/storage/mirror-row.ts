import type { JsonValue } from "@bufbuild/protobuf";
import type { AccountNode, KeyNode } from "@gatehouse/access";
import { accountJson, keyJson } from "@gatehouse/access/wire";

/** Rows of the mirror: what SQL looks for, and beside it the whole node as the feed told it. */
interface AccountRow {
  readonly id: string;
  readonly parent_id: string | null;
  readonly organization_id: string | null;
  /** Itself, then its ancestors up to the root. */
  readonly path: readonly string[];
  readonly names: readonly string[];
  readonly node: JsonValue;
}

interface KeyRow {
  readonly id: string;
  readonly account_id: string;
  readonly parent_key_id: string | null;
  /** Of its credentials, current and in their grace. */
  readonly hashes: readonly string[];
  readonly node: JsonValue;
}

/**
 * What names an account, now and formerly: a slug in the space of its organization, and for organizations and the
 * root also in that of the provider, written as "". One index finds all of them.
 */
export function nameIn(organizationId: string, slug: string): string {
  return `${organizationId} ${slug}`;
}

export function accountRow(node: AccountNode, path: readonly string[]): AccountRow {
  const { id, parentId, organizationId } = node;
  const spaces =
    organizationId === undefined ? [""] : id === organizationId ? ["", organizationId] : [organizationId];
  const slugs = [node.slug, ...node.formerSlugs];
  return {
    id,
    parent_id: parentId ?? null,
    organization_id: organizationId ?? null,
    path,
    names: spaces.flatMap((space) => slugs.map((slug) => nameIn(space, slug))),
    node: accountJson(node),
  };
}

export function keyRow(node: KeyNode): KeyRow {
  return {
    id: node.id,
    account_id: node.accountId,
    parent_key_id: node.parentKeyId ?? null,
    hashes: [...node.secretHashes, ...node.retiringHashes.map(({ hash }) => hash)],
    node: keyJson(node),
  };
}
