import type { Principal } from "@gatehouse/access";
import { AccountService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { acceptTerms } from "../domain/accounts/accept-terms.ts";
import type { ChangedAccount } from "../domain/accounts/change-account.ts";
import { resumeAccount, suspendAccount } from "../domain/accounts/change-account-status.ts";
import { closeAccount } from "../domain/accounts/close-account.ts";
import { createAccount } from "../domain/accounts/create-account.ts";
import { disableType, enableType } from "../domain/accounts/enable-type.ts";
import { getPlanUsage } from "../domain/accounts/get-plan-usage.ts";
import { renameAccount } from "../domain/accounts/rename-account.ts";
import { setScopeCeiling } from "../domain/accounts/set-scope-ceiling.ts";
import { setUpstreamCredential } from "../domain/accounts/set-upstream-credential.ts";
import { updateAccount } from "../domain/accounts/update-account.ts";
import { updateSettings } from "../domain/accounts/update-settings.ts";
import type { Domain } from "../domain/domain.ts";
import { getAccount } from "../domain/get.ts";
import { listAccounts } from "../domain/list.ts";
import { accountStatusName, kindName, leakPolicyName, profileOf } from "./convert-in.ts";
import { accountMessage, keyMessage, planUsageMessage, reasonWithheld } from "./convert-out.ts";
import { neverStored } from "./never-stored.ts";

export function accountService(domain: Domain): Route<Principal> {
  return route<typeof AccountService, Principal>(AccountService, {
    async createAccount(request, call) {
      const { parent, name, slug, type, plan, labels, firstKey, idempotencyKey } = request;
      const created = await createAccount(domain, call.principal, {
        parent,
        name,
        slug,
        type,
        plan,
        profile: profileOf(request.profile),
        labels,
        firstKey: {
          name: firstKey?.name ?? "",
          kind: firstKey && kindName(firstKey.kind),
          roles: firstKey?.roles ?? [],
          scopes: firstKey?.scopes ?? [],
        },
        idempotencyKey,
      });
      neverStored(call);
      const { account, key, secret, freshness, replayed } = created;
      const secretWithheld = reasonWithheld(replayed);
      return {
        account: accountMessage(account),
        key: keyMessage(key),
        secret,
        freshness,
        replayed,
        secretWithheld,
      };
    },

    async getAccount({ account }, call) {
      return { account: accountMessage(await getAccount(domain, call.principal, account)) };
    },

    async listAccounts(request, call) {
      const { parent, descendants, status, type, labels, pageSize, pageToken } = request;
      const { items, nextPageToken } = await listAccounts(domain, call.principal, {
        parent,
        descendants,
        status: accountStatusName(status),
        type,
        labels,
        pageSize,
        pageToken,
      });
      return { accounts: items.map(accountMessage), nextPageToken };
    },

    async suspendAccount({ account: name, reason }, call) {
      return changed(await suspendAccount(domain, call.principal, { account: name, reason }));
    },

    async resumeAccount({ account: name }, call) {
      return changed(await resumeAccount(domain, call.principal, { account: name }));
    },

    async updateAccount(request, call) {
      const { account, plan, profile, labels, updateMask } = request;
      return changed(
        await updateAccount(domain, call.principal, {
          account,
          plan,
          profile: profile && profileOf(profile),
          labels,
          updateMask: updateMask?.paths ?? [],
        }),
      );
    },

    async renameAccount({ account, name, slug }, call) {
      return changed(await renameAccount(domain, call.principal, { account, name, slug }));
    },

    async closeAccount({ account, transferBalanceTo }, call) {
      return changed(await closeAccount(domain, call.principal, { account, transferBalanceTo }));
    },

    async acceptTerms({ document, version, account }, call) {
      return changed(await acceptTerms(domain, call.principal, { document, version, account }));
    },

    async getPlanUsage({ account }, call) {
      const usage = await getPlanUsage(domain, call.principal, account);
      return usage === undefined ? {} : planUsageMessage(usage);
    },

    async setScopeCeiling({ account, scopes }, call) {
      return changed(await setScopeCeiling(domain, call.principal, { account, scopes }));
    },

    async enableType({ account, type }, call) {
      return changed(await enableType(domain, call.principal, { account, type }));
    },

    async disableType({ account, type }, call) {
      return changed(await disableType(domain, call.principal, { account, type }));
    },

    async updateSettings(request, call) {
      const { account, leakPolicy, isolated, importPrefixes, updateMask } = request;
      return changed(
        await updateSettings(domain, call.principal, {
          account,
          leakPolicy: leakPolicyName(leakPolicy),
          isolated,
          importPrefixes,
          updateMask: updateMask?.paths ?? [],
        }),
      );
    },

    async setUpstreamCredential({ account, header, value }, call) {
      return changed(await setUpstreamCredential(domain, call.principal, { account, header, value }));
    },
  });
}

function changed({ account, freshness }: ChangedAccount) {
  return { account: accountMessage(account), freshness };
}
