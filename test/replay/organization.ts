import { Code, type Gatehouse, reasonOf } from "@gatehouse/client";
import { type Account, KeyKind } from "@gatehouse/proto/identity";
import { kebab } from "./assign.ts";
import { persistently } from "./persist.ts";
import { readState, writeState } from "./state-file.ts";
import { ReplayError } from "./trace.ts";

export interface OrganizationOptions {
  /** With the root key. */
  readonly root: Gatehouse;
  /** With a key of the organization. */
  readonly as: (key: string) => Gatehouse;
  readonly name: string;
  /** Where the master key is kept between runs. */
  readonly statePath: string;
  /** A master key to use instead of the kept one. */
  readonly masterKey: string | undefined;
  /** Give an organization whose master key is not at hand a new one. */
  readonly mintKey: boolean;
}

/** The organization that the trace is replayed into. */
export interface Organization {
  readonly id: string;
  readonly slug: string;
  readonly masterKey: string;
  readonly isNew: boolean;
  /** Freshness tokens of what was made. */
  readonly freshness: readonly string[];
}

/** Where the state of an organization is kept unless `--state` says otherwise. */
export function defaultStatePath(name: string): string {
  return `.gatehouse/replay-${organizationSlug(name)}.json`;
}

/** Finds the organization with its master key, or makes both. */
export async function provideOrganization(options: OrganizationOptions): Promise<Organization> {
  const { root, name, statePath } = options;
  const slug = organizationSlug(name);
  const found = await findAccount(root, slug);
  if (found !== undefined) return withMasterKey(found, options);
  const request = { name, slug, firstKey: { name: "replay", kind: KeyKind.MASTER } };
  const { account, secret, freshness } = await root.accounts.createAccount(request);
  await writeState(statePath, { organizationId: account!.id, masterKey: secret });
  return { id: account!.id, slug, masterKey: secret, isNew: true, freshness: [freshness] };
}

function organizationSlug(name: string): string {
  const slug = kebab(name).slice(0, 63).replace(/-$/, "");
  if (slug === "") throw new ReplayError(`--organization "${name}": needs a letter or digit`);
  return slug;
}

async function findAccount(root: Gatehouse, slug: string): Promise<Account | undefined> {
  try {
    const { account } = await persistently(() => root.accounts.getAccount({ account: slug }));
    return account;
  } catch (error) {
    if (reasonOf(error).code === Code.NotFound) return undefined;
    throw error;
  }
}

async function withMasterKey(account: Account, options: OrganizationOptions): Promise<Organization> {
  const { id, slug } = account;
  const { root, statePath, name } = options;
  const state = await readState(statePath);
  const kept = state?.organizationId === id ? state.masterKey : undefined;
  const masterKey = options.masterKey ?? kept;
  if (masterKey !== undefined) {
    await requireMasterOf(id, masterKey, options);
    return { id, slug, masterKey, isNew: false, freshness: [] };
  }
  if (!options.mintKey) {
    throw new ReplayError(
      `${name} exists and ${statePath} has no key of it: say --state or --master-key, replay into another ` +
        "--organization, or give it a new master key with --mint-key",
    );
  }
  const roles = ["administrator", "developer", "auditor"];
  const request = { account: id, kind: KeyKind.MASTER, name: `replay ${Date.now()}`, roles };
  const { secret, freshness } = await root.keys.createKey(request);
  await writeState(statePath, { organizationId: id, masterKey: secret });
  return { id, slug, masterKey: secret, isNew: false, freshness: [freshness] };
}

/** So that a key of something else is told apart here, and not by ten thousand refusals. */
async function requireMasterOf(
  id: string,
  masterKey: string,
  { as, name, statePath }: OrganizationOptions,
): Promise<void> {
  const client = as(masterKey);
  try {
    const { key, accountId } = await persistently(() => client.keys.whoAmI({}));
    if (accountId === id && key?.kind === KeyKind.MASTER) return;
  } catch (error) {
    if (reasonOf(error).code !== Code.Unauthenticated) throw error;
  } finally {
    client.close();
  }
  throw new ReplayError(`the key given, or kept in ${statePath}, is no living master key of ${name}`);
}
