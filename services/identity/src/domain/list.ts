import { type AccountStatus, type KeyKind, type KeyStatus, type Principal, reaches } from "@gatehouse/access";
import type { Account } from "./accounts/account.ts";
import { SLUG_PATTERN, SLUG_RULE } from "./accounts/slug.ts";
import type { Domain } from "./domain.ts";
import { Fields } from "./fields.ts";
import { type ShownKey, showKeys } from "./keys/show-key.ts";
import { withinBytes } from "./page-size.ts";
import { encodePageToken } from "./page-token.ts";
import { findAccount } from "./rules/find-in-reach.ts";
import type { Page } from "./store.ts";

/** As the caller sent it; empty where it said nothing. */
export interface ListAccountsRequest {
  readonly parent: string;
  readonly descendants: boolean;
  readonly status: string | undefined;
  readonly type: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** As the caller sent it; empty where it said nothing. */
export interface ListKeysRequest {
  readonly account: string;
  readonly status: string | undefined;
  readonly kind: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly unusedSinceMs: number | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface Listed<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

const accountStatuses: readonly AccountStatus[] = ["ACTIVE", "SUSPENDED", "CLOSED"];
const keyStatuses: readonly KeyStatus[] = ["ENABLED", "DISABLED", "REVOKED"];
const keyKinds: readonly KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];

/** The accounts below one, oldest first; none for keys that reach only their own account. */
export async function listAccounts(
  domain: Domain,
  actor: Principal,
  request: ListAccountsRequest,
): Promise<Listed<Account>> {
  const { pageSize, pageToken, ...filter } = request;
  const fields = new Fields();
  const parent = fields.reference("parent", request.parent);
  const status = fields.choice("status", request.status, accountStatuses);
  const type = request.type && fields.pattern("type", request.type, SLUG_PATTERN, SLUG_RULE);
  const labels = fields.labels("labels", request.labels);
  const page = fields.page(pageSize, pageToken, filter);
  fields.check();
  const chain = await findAccount(domain.store, actor, parent);
  const found = await domain.store.accounts.list(
    { parent: chain[0], descendants: request.descendants, status, type: type || undefined, labels },
    { ...page, limit: page.limit + 1 },
  );
  // All of them hang below the same account, so one answers for all.
  const visible = found.length > 0 && reaches(actor.view, [found[0]!, ...chain]) ? found : [];
  return pageOf(visible, page, filter, ({ id }) => id);
}

/** The keys of one account, oldest first. */
export async function listKeys(
  domain: Domain,
  actor: Principal,
  request: ListKeysRequest,
): Promise<Listed<ShownKey>> {
  const { pageSize, pageToken, ...filter } = request;
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  const status = fields.choice("status", request.status, keyStatuses);
  const kind = fields.choice("kind", request.kind, keyKinds);
  const labels = fields.labels("labels", request.labels);
  const unusedSinceMs = fields.time("unused_since", request.unusedSinceMs);
  const page = fields.page(pageSize, pageToken, filter);
  fields.check();
  const chain = await findAccount(domain.store, actor, account);
  const unusedSince = unusedSinceMs === undefined ? undefined : new Date(unusedSinceMs);
  const found = await domain.store.keys.list(
    { accountId: chain[0].id, status, kind, labels, unusedSince },
    { ...page, limit: page.limit + 1 },
  );
  const views = found.map((each) => ({ ...each, chain }));
  const shown = await showKeys(domain.store, views, domain.nowMs());
  return pageOf(shown, page, filter, ({ key }) => key.id);
}

/** A page of what was found, which is one more than the page may have where there is more. */
export function pageOf<T>(
  found: readonly T[],
  page: Page,
  filter: unknown,
  idOf: (item: T) => string,
): Listed<T> {
  const items = withinBytes(found.slice(0, page.limit));
  const more = found.length > items.length;
  return { items, nextPageToken: more ? encodePageToken(filter, idOf(items.at(-1)!)) : "" };
}
