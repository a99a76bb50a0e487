import { mintId } from "@gatehouse/keys";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

/**
 * P7 for Verify: a decision about what is outside the verifier's reach is that about what does not exist. Of all other
 * RPCs, test/permissions/foreign shows it.
 */

const system = useSystem({ replicas: [{}] });

let mine: Organization;
let theirs: Organization;
let provider: string;

beforeAll(async () => {
  mine = await makeOrganization(system(), "Mine", ["shared name", "my own"]);
  theirs = await makeOrganization(system(), "Theirs", ["shared name", "their own"]);
  const { root } = system();
  provider = (await root.keys.whoAmI({}, timely)).accountId;
  // Answers say where the state behind them stands: it must not move between two that are compared.
  const { freshness } = await root.accounts.createAccount({ name: "Last" }, timely);
  await root.authz[0]!.verify({ key: mine.key.secret, atLeastAsFresh: [freshness] }, timely);
});

/** Accounts that do not exist for `mine`. */
function foreign(): readonly string[] {
  return [theirs.id, theirs.subaccounts[0]!.id, provider, "theirs", "their-own", "theirs/their-own"];
}

function missing(like: string): string {
  if (like.includes("/")) return "nowhere/no-such";
  return like.includes("_") ? mintId("acc") : "no-such-name";
}

describe("Verify", () => {
  const VERIFY = "authz.v1.AuthzService/Verify";

  // A decision's own id and the age of what it rests on differ between any two calls.
  async function decided(verifier: string, body: object): Promise<object> {
    const answer = await system().json(verifier, VERIFY, body);
    expect(answer.status, answer.text).toBe(200);
    const { decisionId: _, staleness: __, ...rest } = answer.body;
    return rest;
  }

  test("tells another organization's verifier nothing of a key", async () => {
    const key = mine.subaccounts[0]!.key.secret;
    const spoiled = `${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`;
    const unknown = await decided(theirs.key.secret, { key: spoiled });
    expect(unknown).toMatchObject({ code: "DECISION_CODE_NOT_FOUND", keyId: "", accountId: "", scopes: [] });
    for (const presented of [key, mine.key.secret, system().root.secret]) {
      expect(await decided(theirs.key.secret, { key: presented })).toEqual(unknown);
      expect(await decided(theirs.key.secret, { key: presented, account: theirs.id })).toEqual(unknown);
    }
    expect(await decided(mine.key.secret, { key })).toMatchObject({ code: "DECISION_CODE_VALID" });
  });

  test("tells a master key the same of a foreign target and of none", async () => {
    const { secret } = mine.key;
    const root = system().root.secret;
    for (const target of foreign()) {
      const answer = await decided(root, { key: secret, account: target });
      expect(answer, target).toMatchObject({ code: "DECISION_CODE_TARGET_NOT_FOUND" });
      expect(answer, target).toEqual(await decided(root, { key: secret, account: missing(target) }));
    }
    const own = mine.subaccounts[0]!.id;
    expect(await decided(root, { key: secret, account: own })).toMatchObject({ code: "DECISION_CODE_VALID" });
  });
});
