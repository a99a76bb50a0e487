import type { Principal } from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { accountsGate } from "../rules/plan-rule.ts";
import type { Change } from "../store.ts";
import { type Account, type Chain, slugSpaceBelow } from "./account.ts";
import { type ChangedAccount, changeAccount, requireAtMost } from "./change-account.ts";
import { SLUG_PATTERN, SLUG_RULE } from "./slug.ts";

/** The present one included. More is not renaming, it is squatting. */
const MAX_SLUGS = 20;

/** As the caller sent it; empty for what stays. */
export interface RenameAccountRequest {
  readonly account: string;
  readonly name: string;
  readonly slug: string;
}

/** Changes an account's name, slug or both. A slug that it had stays its own: it names it, and it may go back to it. */
export function renameAccount(
  domain: Domain,
  actor: Principal,
  request: RenameAccountRequest,
): Promise<ChangedAccount> {
  const { name, slug } = request;
  check(request);
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.rename",
    name: request.account,
    permit: ([root]) => {
      if (root.parentId === undefined) requireSlugStays(root, slug);
    },
    become: async (target, change) => {
      const [before] = target;
      const renamed = name === "" || name === before.name ? before : { ...before, name };
      return slug === "" || slug === before.slug ? renamed : await takeSlug(change, target, renamed, slug);
    },
  });
}

function check({ account, name, slug }: RenameAccountRequest): void {
  const fields = new Fields();
  fields.reference("account", account, { required: true });
  fields.text("name", name, { max: 100 });
  if (slug !== "") fields.pattern("slug", slug, SLUG_PATTERN, SLUG_RULE);
  if (name === "" && slug === "") {
    fields.wrong("name", "is required, unless a slug is given");
    fields.wrong("slug", "is required, unless a name is given");
  }
  fields.check();
}

// Nothing is below the root by its slug, and what names everything should not wander.
function requireSlugStays(root: Account, slug: string): void {
  const fields = new Fields();
  if (slug !== "" && slug !== root.slug) fields.wrong("slug", "of the provider's account stays as it is");
  fields.check();
}

async function takeSlug(change: Change, target: Chain, account: Account, slug: string): Promise<Account> {
  const { slug: left, formerSlugs: had } = account;
  const formerSlugs = [...had.filter((former) => former !== slug), left];
  requireAtMost(1 + formerSlugs.length, MAX_SLUGS, account, "slugs, former ones included");
  if (!had.includes(slug)) {
    // Where accounts are made too: one that is given a free slug of its own must find it free still. Whoever takes a
    // slug below an organization relies on that, so while the organization itself is renamed nobody does.
    const parent = target[1]!;
    await change.gate({ reliedOn: [], changed: [accountsGate(parent)] });
    await change.accounts.reserveSlug(slugSpaceBelow(parent), slug, account.id);
  }
  return { ...account, slug, formerSlugs };
}
