import { type Principal, reaches } from "@gatehouse/access";
import { denied } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { type Account, type Chain, rootOf } from "./account.ts";
import { type ChangedAccount, changeAccount } from "./change-account.ts";

const MAX_DOCUMENT = 63;
const MAX_VERSION = 63;

/** As the caller sent it; empty where it said nothing. */
export interface AcceptTermsRequest {
  readonly document: string;
  readonly version: string;
  readonly account: string;
}

/**
 * Accepts the version of a document that is in force, once for a whole organization: only who acts for the
 * organization may. Of each document the last accepted version is kept; the audit has those before.
 */
export function acceptTerms(
  domain: Domain,
  actor: Principal,
  request: AcceptTermsRequest,
): Promise<ChangedAccount> {
  const { document, version } = request;
  const fields = new Fields();
  fields.text("document", document, { min: 1, max: MAX_DOCUMENT });
  fields.text("version", version, { min: 1, max: MAX_VERSION });
  const name = fields.reference("account", request.account);
  fields.check();
  return changeAccount(domain, actor, {
    action: "gatehouse.terms.accept",
    name,
    targetOf: organizationOf,
    permit: (organization) => {
      // What was named is in reach, and who sees an account sees the id of its organization: this tells no more.
      if (reaches(actor.view, organization)) return;
      throw denied("OWN_CEILING", "only the organization's own keys and the provider's accept terms");
    },
    become: (organization, _change, at) => {
      requireInForce(organization, document, version);
      const [before] = organization;
      if (before.acceptedTerms.get(document) === version) return before;
      return withAccepted(before, { document, version, at, keyId: actor.view.key.id });
    },
  });
}

/** The organization with what is above it. */
function organizationOf(named: Chain): Chain {
  const [organization, ...above] = named.slice(-2);
  if (above.length > 0) return [organization!, ...above];
  const fields = new Fields();
  fields.wrong("account", "is the provider's, which accepts no terms");
  throw fields.check();
}

function requireInForce(organization: Chain, document: string, version: string): void {
  const fields = new Fields();
  const terms = rootOf(organization).providerRules?.terms.find((each) => each.document === document);
  if (terms === undefined) fields.wrong("document", "is none that the provider has terms of");
  else if (terms.version !== version) fields.wrong("version", `must be ${terms.version}, which is in force`);
  fields.check();
}

function withAccepted(organization: Account, accepted: Account["terms"][number]): Account {
  const { document, version } = accepted;
  return {
    ...organization,
    terms: [...organization.terms.filter((each) => each.document !== document), accepted],
    acceptedTerms: new Map([...organization.acceptedTerms, [document, version]]),
  };
}
