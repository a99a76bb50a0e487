import type { AccountWrites } from "../store.ts";

export const MAX_SLUG = 63;
export { SLUG_PATTERN } from "@gatehouse/access";
export const SLUG_RULE = "kebab-case: 1 to 63 of a-z, 0-9 and single - between them";

/** Numbers tried before a slug ends in characters of the account's id instead; each costs one index probe. */
const MAX_NUMBERED = 1000;
/** Characters of the random end of an id: enough to be free, few enough to read out. */
const ID_END = 6;
/** `-` and the longest suffix. */
const SUFFIX_ROOM = 1 + ID_END;

/** `Café Zürich GmbH` → `cafe-zurich-gmbh`; `account` where nothing is left. */
export function slugOf(name: string): string {
  const slug = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG)
    .replace(/^-+|-+$/g, "");
  return slug || "account";
}

/** A slug that nobody has yet. The caller holds the gate of the space. */
export async function deriveSlug(
  accounts: AccountWrites,
  space: string,
  name: string,
  accountId: string,
): Promise<string> {
  const slug = slugOf(name);
  const free = await accounts.freeSlug(space, slug, 1);
  if (free !== undefined) return free;
  const base = slug.slice(0, MAX_SLUG - SUFFIX_ROOM).replace(/-+$/, "");
  const numbered = await accounts.freeSlug(space, base, MAX_NUMBERED);
  return numbered ?? `${base}-${accountId.slice(-ID_END).toLowerCase()}`;
}
