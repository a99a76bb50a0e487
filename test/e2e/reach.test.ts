import { mintId } from "@gatehouse/keys";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import type { JsonAnswer } from "../system/json-call.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { nameOf, publicMethods } from "../system/transports.ts";
import { useSystem } from "../system/use-system.ts";

/** P7: what is outside a caller's reach answers with the same bytes as what does not exist. */

const system = useSystem({ replicas: [{}] });

type Kind = "account" | "key" | "limit";

/** What fields name, by their name in the proto. Verify's `key` is a credential and is looked at below. */
const KIND_OF_FIELD: Readonly<Record<string, Kind>> = {
  account: "account",
  parent: "account",
  key: "key",
  parent_key: "key",
  limit: "limit",
};

/** What else a request needs to be refused for nothing but the name in it. */
const REST: Readonly<Record<string, object>> = {
  "identity.v1.AccountService/AcceptTerms": { document: "x", version: "1" },
  "identity.v1.AccountService/CreateAccount": { name: "x" },
  "identity.v1.AccountService/DisableType": { type: "x" },
  "identity.v1.AccountService/EnableType": { type: "x" },
  "identity.v1.AccountService/RenameAccount": { name: "x" },
  "identity.v1.AccountService/UpdateAccount": { labels: { x: "1" } },
  "identity.v1.AccountService/UpdateSettings": { leakPolicy: "LEAK_POLICY_NOTIFY" },
  "identity.v1.KeyService/CreateKey": { name: "x" },
  "metering.v1.LimitService/SetLimit": { rate: { units: "1", interval: "1s" } },
};

const asks = publicMethods()
  .filter(({ parent }) => !parent.typeName.includes(".authz."))
  .flatMap((method) =>
    method.input.fields
      .filter(({ name, fieldKind }) => fieldKind === "scalar" && KIND_OF_FIELD[name] !== undefined)
      .map(({ name }) => ({ method: nameOf(method), field: name, kind: KIND_OF_FIELD[name]! })),
  );

let mine: Organization;
let theirs: Organization;
let provider: { account: string; key: string };
let limits: Readonly<Record<"mine" | "theirs", string>>;

beforeAll(async () => {
  mine = await makeOrganization(system(), "Mine", ["shared name", "my own", "changed"]);
  theirs = await makeOrganization(system(), "Theirs", ["shared name", "their own"]);
  const { root } = system();
  const who = await root.keys.whoAmI({}, timely);
  provider = { account: who.accountId, key: who.key!.id };
  const quota = { case: "quota", value: { units: 5n, window: 6 } } as const;
  const limitOn = async (organization: Organization) => {
    const node = { case: "account", value: organization.subaccounts[0]!.id } as const;
    return (await organization.master.limits.setLimit({ node, allowance: quota }, timely)).limit!.id;
  };
  limits = { mine: await limitOn(mine), theirs: await limitOn(theirs) };
});

function foreign(kind: Kind): readonly string[] {
  switch (kind) {
    case "account":
      return [
        theirs.id,
        theirs.subaccounts[0]!.id,
        provider.account,
        "theirs",
        "their-own",
        "theirs/their-own",
      ];
    case "key":
      return [theirs.key.id, theirs.subaccounts[0]!.key.id, provider.key];
    case "limit":
      return [limits.theirs];
  }
}

function missing(kind: Kind, like: string): string {
  if (like.includes("/")) return "nowhere/no-such";
  if (!like.includes("_")) return "no-such-name";
  return mintId(kind === "account" ? "acc" : kind === "key" ? "key" : "lim");
}

// Everything but what time does to an answer.
function visible({ status, text, headers }: JsonAnswer) {
  const { date: _, ...rest } = headers;
  return { status, text, headers: rest };
}

test("there is something to look at", () => {
  expect(asks.length).toBeGreaterThan(15);
  expect(new Set(asks.map(({ kind }) => kind))).toEqual(new Set(["account", "key", "limit"]));
});

describe.each(asks)("$method, by $field", ({ method, field, kind }) => {
  const body = (name: string) => ({ ...REST[method], [field]: name });

  test.each([
    ["an organization's master key", () => mine.key.secret],
    [
      "a subaccount's key, for which its own organization is foreign as well",
      () => mine.subaccounts[1]!.key.secret,
    ],
  ])("tells %s the same of what is foreign and of what is not there", async (_who, secret) => {
    for (const name of foreign(kind)) {
      const answers = await Promise.all(
        [name, missing(kind, name)].map((each) => system().json(secret(), method, body(each))),
      );
      expect(answers[0]!.status, `${name}: ${answers[0]!.text}`).toBeGreaterThanOrEqual(403);
      expect(visible(answers[0]!), name).toEqual(visible(answers[1]!));
    }
  });

  test("finds what is in reach, so it is reach that refuses", async () => {
    // For no other test to use: what is found is suspended, revoked and so on.
    const { id, key } = mine.subaccounts[2]!;
    const own = { account: id, key: key.id, limit: limits.mine };
    const answer = await system().json(mine.key.secret, method, body(own[kind]));
    expect(answer.text).not.toContain("NOT_FOUND");
    expect(answer.status).not.toBe(404);
    if (field === "limit") return;
    const refused = await system().json(mine.key.secret, method, body(missing(kind, own[kind])));
    expect(refused.status).toBe(404);
  });
});

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
    for (const target of foreign("account")) {
      const answer = await decided(root, { key: secret, account: target });
      expect(answer, target).toMatchObject({ code: "DECISION_CODE_TARGET_NOT_FOUND" });
      expect(answer, target).toEqual(
        await decided(root, { key: secret, account: missing("account", target) }),
      );
    }
    const own = mine.subaccounts[0]!.id;
    expect(await decided(root, { key: secret, account: own })).toMatchObject({ code: "DECISION_CODE_VALID" });
  });
});
