import { grantOfList } from "./grant.ts";
import { type AccountNode, providerRulesOf, type TermsNode } from "./node.ts";

/**
 * Terms that the chain's organization has yet to accept before it may touch the resource, if any. Without a resource,
 * those that close everything. The provider accepts none of its own.
 */
export function termsRequired(
  chain: readonly AccountNode[],
  resource: string | undefined,
): TermsNode | undefined {
  const terms = providerRulesOf(chain)?.terms;
  if (terms === undefined || terms.length === 0 || chain.length < 2) return undefined;
  const { acceptedTerms } = chain[chain.length - 2]!;
  for (const each of terms) {
    if (acceptedTerms.get(each.document) !== each.version && closes(each.gates, resource)) return each;
  }
  return undefined;
}

function closes(gates: readonly string[], resource: string | undefined): boolean {
  if (gates.length === 0) return true;
  return resource === undefined ? gates.includes("**") : grantOfList(gates).allows(resource);
}
