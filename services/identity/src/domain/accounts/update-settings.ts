import type { Principal } from "@gatehouse/access";
import { denied } from "@gatehouse/service/failure";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type Account, type Chain, LEAK_POLICIES, type LeakPolicy } from "./account.ts";
import { type ChangedAccount, changeAccount, requireStrictAncestor } from "./change-account.ts";
import { checkImportPrefixes } from "./import-prefixes.ts";

/** As the caller sent it; empty where it said nothing. */
export interface UpdateSettingsRequest {
  readonly account: string;
  readonly leakPolicy: string | undefined;
  readonly isolated: boolean | undefined;
  readonly importPrefixes: readonly string[];
  readonly updateMask: readonly string[];
}

interface Wanted {
  /** What is undefined in it: as the account above. */
  readonly leakPolicy?: { readonly is: LeakPolicy | undefined };
  readonly isolated?: boolean;
  readonly importPrefixes?: readonly string[];
}

/** Changes how an account is run. */
export function updateSettings(
  domain: Domain,
  actor: Principal,
  request: UpdateSettingsRequest,
): Promise<ChangedAccount> {
  const { name, wanted } = check(domain, request);
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.update-settings",
    name,
    permit: (target) => {
      if (wanted.importPrefixes !== undefined) requireRoot(target);
      if (wanted.leakPolicy !== undefined) requireMaster(actor);
      if (wanted.isolated !== undefined) requireStrictAncestor(actor, target, "isolate it");
    },
    become: ([before]) => {
      const account = withSettings(before, wanted);
      return digestOf(settingsOf(account)) === digestOf(settingsOf(before)) ? before : account;
    },
  });
}

const KNOWN = ["leak_policy", "isolated", "import_prefixes"];

function check(domain: Domain, request: UpdateSettingsRequest) {
  const { isolated, importPrefixes } = request;
  const fields = new Fields();
  const name = fields.reference("account", request.account);
  const leakPolicy = fields.choice("leak_policy", request.leakPolicy, LEAK_POLICIES);
  const given = [
    ...(request.leakPolicy === undefined ? [] : ["leak_policy"]),
    ...(isolated === undefined ? [] : ["isolated"]),
    ...(importPrefixes.length === 0 ? [] : ["import_prefixes"]),
  ];
  const changed = fields.mask(request.updateMask, KNOWN, given);
  if (changed.has("import_prefixes")) checkImportPrefixes(fields, importPrefixes, domain.format.prefix);
  fields.check();
  const wanted: Wanted = {
    ...(changed.has("leak_policy") && { leakPolicy: { is: leakPolicy } }),
    ...(changed.has("isolated") && { isolated: isolated === true }),
    ...(changed.has("import_prefixes") && { importPrefixes }),
  };
  return { name, wanted };
}

// What finds a key leaked must not be for that key to disarm.
function requireMaster({ view }: Principal): void {
  if (view.key.kind === "MASTER") return;
  throw denied("KEY_KIND_DENIED", "only a master key says what becomes of leaked keys");
}

function requireRoot([{ parentId }]: Chain): void {
  const fields = new Fields();
  if (parentId !== undefined) fields.wrong("import_prefixes", "are the provider's account's only");
  fields.check();
}

function withSettings(account: Account, { leakPolicy, isolated, importPrefixes }: Wanted): Account {
  const { providerRules } = account;
  return {
    ...account,
    leakPolicy: leakPolicy === undefined ? account.leakPolicy : leakPolicy.is,
    isolated: isolated ?? account.isolated,
    providerRules: providerRules && {
      ...providerRules,
      importPrefixes: importPrefixes ?? providerRules.importPrefixes,
    },
  };
}

function settingsOf({ leakPolicy, isolated, providerRules }: Account) {
  return { leakPolicy, isolated, importPrefixes: providerRules?.importPrefixes };
}
