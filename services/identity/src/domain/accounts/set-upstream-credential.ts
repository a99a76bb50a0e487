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
/** A token of RFC 9110. */
const HEADER = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** Visible ASCII, with spaces between. */
const VALUE = /^[!-~]+( +[!-~]+)*$/;

/** What belongs to a connection or to its framing, or says where a request goes: none of a customer's business. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Sets the header that gateways send upstream for an account and its subtree, or without a value takes it away. It is
 * kept sealed, as `name: value` for the account's id, and shown to nobody; the audit says that it changed.
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
      const upstreamCredential = credential === "" ? "" : domain.sealer.seal(credential, before.id);
      return upstreamCredential === before.upstreamCredential ? before : { ...before, upstreamCredential };
    },
  });
}

function check({ account, header, value }: SetUpstreamCredentialRequest) {
  const fields = new Fields();
  const name = fields.reference("account", account);
  const lowered = header.slice(0, MAX_HEADER + 1).toLowerCase();
  if (header.length > MAX_HEADER) fields.wrong("header", `must have at most ${MAX_HEADER} characters`);
  else if (header !== "" && !HEADER.test(header))
    fields.wrong("header", "must be the name of an HTTP header");
  else if (FORBIDDEN.has(lowered)) fields.wrong("header", "is not for callers to set");
  else if (header === "" && value !== "") fields.wrong("header", "is required");
  // The value is not repeated, whatever is wrong with it.
  if (value.length > MAX_VALUE) fields.wrong("value", `must have at most ${MAX_VALUE} characters`);
  else if (value !== "" && !VALUE.test(value)) {
    fields.wrong("value", "must be visible ASCII, with spaces only between");
  }
  fields.check();
  return { name, credential: value === "" ? "" : `${lowered}: ${value}` };
}
