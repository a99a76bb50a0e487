import { mintId } from "@gatehouse/keys";
import { AccountService, KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

/** P7: what is out of reach answers with the same bytes as what is not there. */

let system: System;
let mine: Organization;
let theirs: Organization;
let provider: string;

beforeAll(async () => {
  system = await startSystem({ plan: { ...DEFAULT_PLAN, depth: 2 } });
  mine = await organization("Mine");
  theirs = await organization("Theirs");
  provider = (await system.root.accounts.getAccount({}, timely)).account!.id;
});
afterAll(() => system?.stop());

type Organization = Awaited<ReturnType<typeof organization>>;

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  const master = system.as(made.secret);
  const child = (name: string) =>
    master.accounts.createAccount({ name, firstKey: { roles: ["administrator"] } }, timely);
  const [shared, own] = [await child("shared name"), await child(`${name} only`)];
  const sub = await master.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
  return { id: made.account!.id, secret: made.secret, shared, own, sub: sub.secret };
}

/** What each RPC needs besides the account, to be refused for nothing but the account. */
const REQUESTS: Readonly<Record<string, object>> = {
  CreateAccount: { name: "x" },
  GetAccount: {},
  ListAccounts: {},
  UpdateAccount: { labels: { a: "b" } },
  RenameAccount: { slug: "shared-name" },
  SuspendAccount: {},
  ResumeAccount: {},
  CloseAccount: {},
  AcceptTerms: { document: "d", version: "1" },
  GetPlanUsage: {},
  SetScopeCeiling: { scopes: ["a"] },
  EnableType: { type: "t" },
  DisableType: { type: "t" },
  UpdateSettings: { isolated: true, importPrefixes: ["sk_"] },
  SetUpstreamCredential: { header: "x-key", value: "v" },
};
const READS = ["GetAccount", "ListAccounts", "GetPlanUsage"];
const rpcs = AccountService.methods.map(({ name }) => name);

function call(secret: string, rpc: string, account: string) {
  const field = rpc === "CreateAccount" || rpc === "ListAccounts" ? "parent" : "account";
  return system.json(secret, `AccountService/${rpc}`, { ...REQUESTS[rpc], [field]: account });
}

describe.each(rpcs)("%s", (rpc) => {
  it("tells the same of what is foreign and of what is not there", async () => {
    expect(REQUESTS).toHaveProperty(rpc);
    const foreign = [
      theirs.id,
      theirs.own.account!.id,
      provider,
      "theirs",
      "theirs-only",
      "theirs/theirs-only",
      "provider",
    ];
    const callers = [
      [mine.secret, foreign],
      // For a subaccount's key its own organization and the accounts beside it are foreign too.
      [mine.shared.secret, [...foreign, mine.id, "mine", mine.own.account!.id, "mine-only"]],
    ] as const;
    for (const [secret, names] of callers) {
      const missing = await Promise.all(
        [mintId("acc"), "no-such-name", "no/such"].map((name) => call(secret, rpc, name)),
      );
      expect(missing[0]!.status).toBe(404);
      for (const name of names) {
        const answer = await call(secret, rpc, name);
        for (const none of missing) expect(answer, name).toEqual(none);
      }
    }
  });

  it("is nothing for sub-keys, unless it reads", async () => {
    if (READS.includes(rpc)) return;
    // Before anything is looked up: for every account the same.
    for (const account of [mine.id, mine.own.account!.id, theirs.id, mintId("acc")]) {
      const { status, body } = await call(mine.sub, rpc, account);
      expect([status, body]).toEqual([403, expect.stringContaining("KEY_KIND_DENIED")]);
    }
  });
});

describe("reach", () => {
  it("a master key of a subaccount manages what is below it, and neither itself nor what is beside it", async () => {
    const desk = await system
      .as(mine.secret)
      .accounts.createAccount(
        { name: "desk", firstKey: { kind: KeyKind.MASTER, roles: ["administrator"] } },
        timely,
      );
    const { accounts } = system.as(desk.secret);
    const below = await accounts.createAccount({ name: "below" }, timely);
    const { id } = below.account!;
    expect(await reasonOf(accounts.setScopeCeiling({ account: id, scopes: ["a.**"] }, timely))).toBe("OK");
    expect(await reasonOf(accounts.suspendAccount({ account: id }, timely))).toBe("OK");
    for (const account of ["shared-name", "mine"]) {
      expect(await reasonOf(accounts.setScopeCeiling({ account, scopes: [] }, timely))).toBe("NOT_FOUND");
    }
    expect(await reasonOf(accounts.setScopeCeiling({ account: "desk", scopes: [] }, timely))).toBe(
      "OWN_CEILING",
    );
    expect(await reasonOf(accounts.suspendAccount({ account: "desk" }, timely))).toBe("SELF_LOCKOUT");
  });

  it("a descendant's own suspension stays when an account above it is resumed", async () => {
    const { accounts } = system.as(theirs.secret);
    const below = await accounts.createAccount({ name: "below", parent: "theirs-only" }, timely);
    const works = () => reasonOf(system.as(below.secret).keys.whoAmI({}, timely));
    await accounts.suspendAccount({ account: "below", reason: "ABUSE" }, timely);
    await accounts.suspendAccount({ account: "theirs-only", reason: "SUBSCRIPTION_INACTIVE" }, timely);
    const again = await accounts.suspendAccount({ account: "theirs-only", reason: "FRAUD" }, timely);
    expect(again.account!.suspensionReason).toBe("FRAUD");
    await accounts.resumeAccount({ account: "theirs-only" }, timely);
    expect(await works()).toBe("ACCOUNT_SUSPENDED");
    const kept = await accounts.getAccount({ account: "below" }, timely);
    expect(kept.account!.suspensionReason).toBe("ABUSE");
    const resumed = await accounts.resumeAccount({ account: "below" }, timely);
    expect(resumed.account!.suspensionReason).toBe("");
    expect(await works()).toBe("OK");
  });

  it("refusals are on record with who tried what", async () => {
    const before = Date.now();
    await call(mine.shared.secret, "SetScopeCeiling", "shared-name");
    const { rows } = await system.sql.query(
      "SELECT action, target, outcome FROM audit_event WHERE actor_key_id = $1 AND at >= $2 ORDER BY id DESC LIMIT 1",
      [mine.shared.key!.id, new Date(before)],
    );
    expect(rows).toEqual([
      { action: "gatehouse.accounts.set-scope-ceiling", target: "shared-name", outcome: "OWN_CEILING" },
    ]);
  });
});
