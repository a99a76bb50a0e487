import type { Gatehouse } from "@gatehouse/client";
import type { Caller } from "./assign.ts";
import { eachOf } from "./each-of.ts";
import { persistently } from "./persist.ts";

/** identity makes the accounts of one organization one after the other; this many keep it busy. */
const AT_ONCE = 16;
const PAGE = 500;

/** The subaccounts of a run. */
export interface ProvidedAccounts {
  /** Account id by slug, of every caller. */
  readonly ids: ReadonlyMap<string, string>;
  readonly created: number;
  readonly freshness: readonly string[];
}

/** Declares the meters that nobody declared yet, and answers the freshness tokens of those. */
export async function provideMeters(root: Gatehouse, meters: readonly string[]): Promise<string[]> {
  // The first call of a run, and the one that is not repeated: a wrong address is to be told at once.
  const { meters: declared } = await root.meters.listMeters({});
  const missing = meters.filter(
    (meter) => meter !== "requests" && !declared.some(({ name }) => name === meter),
  );
  const tokens: string[] = [];
  for (const name of missing) {
    const { freshness } = await persistently(() => root.meters.createMeter({ name }));
    tokens.push(freshness);
  }
  return tokens;
}

/** Finds a subaccount for each caller, and makes those that are missing. */
export async function provideAccounts(
  organization: Gatehouse,
  callers: Iterable<Caller>,
  onCreated: (count: number) => void,
): Promise<ProvidedAccounts> {
  const known = await accountsBelow(organization);
  const ids = new Map<string, string>();
  const missing: Caller[] = [];
  for (const caller of callers) {
    const id = known.get(caller.slug);
    if (id === undefined) missing.push(caller);
    else ids.set(caller.slug, id);
  }
  let freshness: string[] = [];
  const create = async ({ slug, name }: Caller) => {
    // The idempotency key lets a create be repeated whose answer was lost.
    const request = { slug, name, idempotencyKey: `replay-${slug}` };
    const created = await persistently(() => organization.accounts.createAccount(request));
    ids.set(slug, created.account!.id);
    freshness = [created.freshness];
    onCreated(ids.size);
  };
  // The last alone: it is committed after all others, so its token covers theirs.
  await eachOf(missing.slice(0, -1), AT_ONCE, create);
  await eachOf(missing.slice(-1), 1, create);
  return { ids, created: missing.length, freshness };
}

async function accountsBelow(organization: Gatehouse): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (let pageToken = ""; ; ) {
    const request = { pageSize: PAGE, pageToken };
    const page = await persistently(() => organization.accounts.listAccounts(request));
    for (const { slug, id } of page.accounts) ids.set(slug, id);
    if (page.nextPageToken === "") return ids;
    pageToken = page.nextPageToken;
  }
}
