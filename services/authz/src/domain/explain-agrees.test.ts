import type { AccountNode, KeyNode } from "@gatehouse/access";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { TestExplainer } from "./explain.fixture.ts";
import { CHECKS } from "./explanation.ts";
import { keyed } from "./verify.fixture.ts";
import type { VerifyCall } from "./verify-call.ts";

/*
 * Whatever the state of keys, accounts and provider is, Explain says what Verify says, and its checks say it too: those
 * before the one that decided were passed, those after it not reached.
 */

const AT = 1_800_000_000_000;
const rarely = <T>(usual: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
const time = rarely<number | undefined>(undefined, fc.constantFrom(AT - 1000, AT, AT + 1000));
const scopes = rarely<readonly string[]>(
  ["**"],
  fc.constantFrom(["weather.read"], ["!weather.read"], ["orders.**"], []),
);
const ceiling = rarely<readonly string[]>(
  [],
  fc.constantFrom(["weather.**"], ["!weather.read"], ["orders.**"]),
);
const ranges = rarely<readonly string[]>([], fc.constantFrom(["192.0.2.0/24"], ["198.51.100.0/24"]));
const shop = { name: "shop.get", method: "GET", path: "/weather", resource: "weather.read" };

const key: fc.Arbitrary<Partial<KeyNode>> = fc.record({
  status: rarely<KeyNode["status"]>("ENABLED", fc.constantFrom("DISABLED", "REVOKED")),
  notBeforeMs: time,
  expiresAtMs: time,
  scopes,
  roles: rarely<readonly string[]>([], fc.constantFrom(["reader"], ["nobody's"])),
  endpoints: rarely<KeyNode["endpoints"]>([], fc.constantFrom([shop], [{ ...shop, name: "shop.other" }])),
  ipAllow: ranges,
  ipDeny: ranges,
  deniedIntegrations: rarely<readonly string[]>([], fc.constant(["zapier"])),
});
const account: fc.Arbitrary<Partial<AccountNode>> = fc.record({
  status: rarely<AccountNode["status"]>("ACTIVE", fc.constantFrom("SUSPENDED", "CLOSED")),
  scopeCeiling: ceiling,
  type: rarely("", fc.constant("trial")),
  isolated: rarely(false, fc.constant(true)),
  roles: fc.constantFrom(new Map(), new Map([["reader", ["weather.**"]]])),
  acceptedTerms: fc.constantFrom(new Map([["tos", "1"]]), new Map()),
});
const call: fc.Arbitrary<Partial<VerifyCall>> = fc.record({
  resource: fc.constantFrom("", "weather.read", "orders.read"),
  address: fc.constantFrom(undefined, "192.0.2.7", "198.51.100.7"),
  integration: fc.constantFrom("", "zapier"),
  account: rarely("", fc.constantFrom("team", "acme", "acc_sub", "elsewhere")),
});
const situation = fc.record({
  key,
  parent: key,
  organization: account,
  subaccount: account,
  call,
  http: rarely<VerifyCall["http"]>(
    undefined,
    fc.constantFrom({ method: "GET", path: "/weather" }, { method: "GET", path: "/none" }),
  ),
  kind: fc.constantFrom("MASTER", "ACCOUNT", "SUB"),
  owner: fc.constantFrom("acc_sub", "acc_org"),
  asks: fc.constantFrom("acc_root", "acc_org", "acc_sub", "acc_other"),
  terms: rarely<readonly string[] | undefined>(undefined, fc.constantFrom([], ["weather.**"])),
  typeCeiling: ceiling,
});

it("agrees with Verify, and its checks with both", async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(situation, async (given) => {
      const authz = new TestExplainer();
      authz.now.wallMs = AT;
      authz.account("acc_other", { organizationId: "acc_other", slug: "other" });
      authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
      const verifier = keyed(authz, authz.key(given.asks));
      const parent = authz.key(given.owner, { name: "parent", ...given.parent });
      const { kind } = given;
      const more = kind === "SUB" ? { parentKeyId: parent.id } : {};
      const { presented } = authz.key(given.owner, { ...given.key, ...more, kind: kind as KeyNode["kind"] });
      authz.account("acc_org", given.organization);
      authz.account("acc_sub", given.subaccount);
      const terms = given.terms === undefined ? [] : [{ document: "tos", version: "1", gates: given.terms }];
      const types = new Map([["trial", given.typeCeiling]]);
      authz.account("acc_root", { providerRules: { types, terms, importPrefixes: [] } });
      authz.api("shop", { name: "shop", endpoints: [shop] });

      const http = given.http === undefined ? {} : { http: given.http, resource: "" };
      const asked = { presented, ...given.call, ...http };
      const explained = await authz.explain(asked, verifier);
      const decided = await authz.verify(asked, verifier);
      const { code } = decided;
      seen.set(code, (seen.get(code) ?? 0) + 1);

      expect({ ...explained.decision, receipt: undefined }).toEqual({
        ...decided,
        receipt: undefined,
        decisionId: "",
      });
      expect(explained.decidedBy).toBe(code === "VALID" ? "" : code);
      if (code === "NOT_FOUND") {
        expect(explained.checks).toMatchObject([{ code: "NOT_FOUND", outcome: "FAILED" }]);
        return;
      }
      expect(explained.checks.map((check) => check.code)).toEqual([...CHECKS]);
      const outcomes = explained.checks.map(({ outcome }) => outcome);
      const failed = outcomes.indexOf("FAILED");
      expect(failed).toBe((CHECKS as readonly string[]).indexOf(code));
      const reached = failed < 0 ? CHECKS.length : failed;
      for (const [i, outcome] of outcomes.entries()) {
        if (i < reached) expect(outcome).toMatch(/^(PASSED|NOT_APPLICABLE)$/);
        else if (i > reached && !code.startsWith("ACCOUNT_")) expect(outcome).toBe("NOT_REACHED");
      }
      for (const { outcome, detail } of explained.checks) {
        expect(detail !== "").toBe(outcome !== "NOT_REACHED");
        expect(detail).not.toContain("undefined");
      }
    }),
    { numRuns: 1500 },
  );
  // Situations that were all alike would show nothing.
  const missing = CHECKS.filter((each) => !seen.has(each)).filter((each) => !/SIGNATURE|REPLAYED/.test(each));
  expect([...missing, seen.has("VALID")]).toEqual([true]);
}, 60_000);
