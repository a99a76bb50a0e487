import { reaches } from "@gatehouse/access";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { IdentityCache } from "./identity-cache.ts";

/**
 * What a name means is remembered for each account whose keys ask, and what that does not reach as what does not exist:
 * for its organization, the time of an answer would tell who asks again whether there is such an account.
 *
 * The account that a call of the key acts on, itself first and then its ancestors, by id, slug or former slug; the
 * key's own for an empty name. "none" for what does not exist in its reach; "unknown" has to be read first.
 */
export function findTarget(
  cache: IdentityCache,
  entry: KeyEntry,
  account: string,
): readonly AccountEntry[] | "none" | "unknown" {
  if (account === "") return entry.accounts;
  const { kind } = entry.key;
  if (kind === "SUB") return "none";
  const own = entry.accounts[0]!;
  if (account === own.id) return entry.accounts;
  const first = entry.accounts.at(-2) ?? own;
  // An organization's slugs are its own throughout it: where one below has the same, that is not what it names.
  if (hasSlug(own, account) && (own === first || !hasSlug(first, account))) return entry.accounts;
  if (kind === "ACCOUNT" || own.isolated) return "none";
  const found = cache.target(own.id, account);
  if (found !== undefined) return reaches(entry, found.accounts) ? found.accounts : "none";
  return cache.isUnknownTarget(own.id, account) ? "none" : "unknown";
}

/** Where the names that a key says are looked up: its organization, or "" for the provider's. */
export function organizationOf(entry: KeyEntry): string {
  return entry.accounts[0]!.organizationId ?? "";
}

function hasSlug({ slug, formerSlugs }: AccountEntry, name: string): boolean {
  return name === slug || formerSlugs.includes(name);
}
