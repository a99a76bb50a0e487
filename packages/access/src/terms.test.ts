import { describe, expect, it } from "vitest";
import { accountOf, root, subaccount } from "../test/nodes.ts";
import type { TermsNode } from "./node.ts";
import { termsRequired } from "./terms.ts";

const trading: TermsNode = { document: "trading", version: "2", gates: ["orders.**"] };
const general: TermsNode = { document: "general", version: "1", gates: [] };

function chain(terms: readonly TermsNode[], accepted: readonly [string, string][]) {
  const provider = accountOf({ ...root, providerRules: { types: new Map(), terms, importPrefixes: [] } });
  return [subaccount, accountOf({ acceptedTerms: new Map(accepted) }), provider];
}

describe("terms that an organization has yet to accept", () => {
  it("close what the provider says they close, for all its accounts", () => {
    expect(termsRequired(chain([trading], []), "orders.create")).toBe(trading);
    expect(termsRequired(chain([trading], []), "weather.read")).toBeUndefined();
    expect(termsRequired(chain([trading], []), undefined)).toBeUndefined();
    expect(termsRequired(chain([general], []), "weather.read")).toBe(general);
    expect(termsRequired(chain([general], []), undefined)).toBe(general);
  });

  it("are those of the version that is in force", () => {
    expect(termsRequired(chain([trading], [["trading", "1"]]), "orders.create")).toBe(trading);
    expect(termsRequired(chain([trading], [["trading", "2"]]), "orders.create")).toBeUndefined();
    expect(termsRequired(chain([trading, general], [["trading", "2"]]), "orders.create")).toBe(general);
  });

  it("are nothing to the provider", () => {
    expect(termsRequired(chain([general], []).slice(-1), "orders.create")).toBeUndefined();
  });
});
