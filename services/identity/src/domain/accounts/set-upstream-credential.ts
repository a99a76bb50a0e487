import type { Principal } from "@gatehouse/access";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";

/** As the caller sent it; empty where it said nothing. */
export interface SetUpstreamCredentialRequest {
  readonly account: string;
  readonly header: string;
  readonly value: string;
}

const MAX_HEADER = 100;
const MAX_VALUE = 4096;
/** Visible ASCII, with spaces between. */
const VALUE = /^[!-~]+( +[!-~]+)*$/;

/**
 * What credentials travel in. Any other header may be one that the API trusts its gateway with: who calls, from where,
 * for which host. Nobody can list all of those, so what may be set is listed.
 */
const CREDENTIAL = /^(authorization|apikey|[a-z0-9]+(-[a-z0-9]+)*-(key|token))$/;
/** Named alike, and set by gateways, connections and retries. */
const NO_CREDENTIAL =
  /^(proxy-|sec-|gatehouse-|x-(gatehouse|forwarded|envoy|original|user|account|auth-request)|(x-)?idempotency-key$)/;
const HEADER_RULE =
  "must be authorization or apikey, or end in -key or -token and be none that gateways set, such as gatehouse-*";

/**
 * Sets the header that gateways send upstream for an account and its subtree, or without a value takes it away. It is
 * kept sealed, as `account name: value` for the account's id, where the account before it is the one whose key set it:
 * verifiers below that one are not given it. It is shown to nobody; the audit says that it changed.
 */
export function setUpstreamCredential(
  domain: Domain,
  actor: Principal,
  request: SetUpstreamCredentialRequest,
): Promise<ChangedAccount> {
  const { name, credential } = check(request);
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.set-upstream-credential",
    name,
    become: ([before]) => {
      const told = `${actor.view.key.accountId} ${credential}`;
      const upstreamCredential = credential === "" ? "" : domain.sealer.seal(told, before.id);
      return upstreamCredential === before.upstreamCredential ? before : { ...before, upstreamCredential };
    },
  });
}

function check({ account, header, value }: SetUpstreamCredentialRequest) {
  const fields = new Fields();
  const name = fields.reference("account", account);
  const lowered = header.slice(0, MAX_HEADER + 1).toLowerCase();
  if (header.length > MAX_HEADER) fields.wrong("header", `must have at most ${MAX_HEADER} characters`);
  else if (header !== "" && !mayBeCredential(lowered)) fields.wrong("header", HEADER_RULE);
  else if (header === "" && value !== "") fields.wrong("header", "is required");
  // The value is not repeated, whatever is wrong with it.
  if (value.length > MAX_VALUE) fields.wrong("value", `must have at most ${MAX_VALUE} characters`);
  else if (value !== "" && !VALUE.test(value)) {
    fields.wrong("value", "must be visible ASCII, with spaces only between");
  }
  fields.check();
  return { name, credential: value === "" ? "" : `${lowered}: ${value}` };
}

function mayBeCredential(header: string): boolean {
  return CREDENTIAL.test(header) && !NO_CREDENTIAL.test(header);
}
