import type { Principal } from "@gatehouse/access";
import { AccountService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { resumeAccount, suspendAccount } from "../domain/change-account-status.ts";
import { createAccount } from "../domain/create-account.ts";
import type { Domain } from "../domain/domain.ts";
import { getAccount } from "../domain/get.ts";
import { listAccounts } from "../domain/list.ts";
import { accountStatusName, kindName, profileOf } from "./convert-in.ts";
import { accountMessage, keyMessage, reasonWithheld } from "./convert-out.ts";
import { neverStored } from "./never-stored.ts";
import { notYet } from "./not-yet.ts";

export function accountService(domain: Domain): Route<Principal> {
  return route<typeof AccountService, Principal>(AccountService, {
    updateAccount: notYet,
    renameAccount: notYet,
    closeAccount: notYet,
    acceptTerms: notYet,
    getPlanUsage: notYet,
    setScopeCeiling: notYet,
    enableType: notYet,
    disableType: notYet,
    updateSettings: notYet,
    setUpstreamCredential: notYet,
    async createAccount(request, call) {
      const { parent, name, slug, plan, labels, firstKey, idempotencyKey } = request;
      const created = await createAccount(domain, call.principal, {
        parent,
        name,
        slug,
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
      const { parent, descendants, status, labels, pageSize, pageToken } = request;
      const { items, nextPageToken } = await listAccounts(domain, call.principal, {
        parent,
        descendants,
        status: accountStatusName(status),
        labels,
        pageSize,
        pageToken,
      });
      return { accounts: items.map(accountMessage), nextPageToken };
    },

    async suspendAccount({ account: name, reason }, call) {
      const { account, freshness } = await suspendAccount(domain, call.principal, { account: name, reason });
      return { account: accountMessage(account), freshness };
    },

    async resumeAccount({ account: name }, call) {
      const { account, freshness } = await resumeAccount(domain, call.principal, { account: name });
      return { account: accountMessage(account), freshness };
    },
  });
}
