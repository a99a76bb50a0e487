import { reasonOf } from "@gatehouse/client";
import { DecisionCode } from "@gatehouse/proto/authz";
import { KeyKind, KeyStatus, LeakAction, LeakPolicy } from "@gatehouse/proto/identity";
import { GroupBy, Window } from "@gatehouse/proto/metering";
import { describe, expect, it } from "vitest";
import { until } from "../system/until.ts";
import { useProvider } from "./provider.ts";

const provider = useProvider();

/** A company with a department, whose key does and manages everything of the department. */
async function company(name: string) {
  const made = await provider.root().accounts.createAccount({ name });
  const manager = provider.as(made.secret);
  const department = await manager.accounts.createAccount({
    name: "Research",
    firstKey: { roles: ["administrator", "developer", "auditor"] },
  });
  return {
    account: made.account!,
    manager,
    department: { ...department, as: provider.as(department.secret) },
  };
}

function reason(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => "OK",
    (error: unknown) => reasonOf(error).reason,
  );
}

describe("departments of a company", () => {
  it("a department comes with its key, possibly with narrower access, which it cannot widen", async () => {
    const { manager } = await company("Narrow");
    const sales = await manager.accounts.createAccount({
      name: "Sales",
      firstKey: { roles: ["administrator"], scopes: ["models.small.**"] },
    });
    expect(await provider.decide({ key: sales.secret, resource: "models.small.chat" })).toBe("VALID");
    expect(await provider.decide({ key: sales.secret, resource: "models.large.chat" })).toBe("SCOPE_DENIED");
    const { as } = { as: provider.as(sales.secret) };
    expect(await reason(as.accounts.setScopeCeiling({ account: "sales", scopes: [] }))).toBe("OWN_CEILING");

    // The manager's ceiling holds whatever the department grants itself.
    await manager.accounts.setScopeCeiling({ account: "sales", scopes: ["models.small.**", "gatehouse.**"] });
    const wide = await as.keys.createKey({ name: "wide", scopes: ["**", "!gatehouse.**"] });
    expect(await provider.decide({ key: wide.secret, resource: "models.large.chat" })).toBe("SCOPE_DENIED");
    expect(await provider.decide({ key: wide.secret, resource: "models.small.chat" })).toBe("VALID");
  });

  it("all calls sum into the company's quota, and a department has a stricter one", async () => {
    const { account, manager, department } = await company("Limits");
    const quota = (units: bigint) => ({ case: "quota" as const, value: { units, window: Window.MONTH } });
    const root = provider.root();
    await root.limits.setLimit({ node: { case: "account", value: account.id }, allowance: quota(5n) });
    const set = await manager.limits.setLimit({
      node: { case: "account", value: "research" },
      allowance: quota(2n),
    });
    const other = await manager.accounts.createAccount({ name: "Other" });
    const call = (key: string) => provider.decide({ key, resource: "models.chat" }, set.freshness);
    expect([await call(department.secret), await call(department.secret)]).toEqual(["VALID", "VALID"]);
    expect(await call(department.secret)).toBe("QUOTA_EXCEEDED");
    expect([await call(other.secret), await call(other.secret), await call(other.secret)]).toEqual([
      "VALID",
      "VALID",
      "VALID",
    ]);
    expect(await call(other.secret)).toBe("QUOTA_EXCEEDED");
  });

  it("reports show the department of whoever looks, and the company sees all of them", async () => {
    const { manager, department } = await company("Reports");
    const other = await manager.accounts.createAccount({ name: "Other" });
    for (const key of [department.secret, department.secret, other.secret]) {
      await provider.decide({ key, resource: "models.chat" });
    }
    const report = async (as: typeof manager) => {
      const { rows } = await as.usage.queryUsage({ descendants: true, groupBy: [GroupBy.ACCOUNT] });
      return rows.map(({ accountId, units }) => [accountId, units]);
    };
    await until("the usage arrives", async () => (await report(manager)).length === 2);
    expect(await report(department.as)).toEqual([[department.account!.id, 2n]]);
    expect(await reason(department.as.usage.queryUsage({ node: { case: "account", value: "other" } }))).toBe(
      "NOT_FOUND",
    );
  });

  it("a leaked key is dealt with as the company says, or rolled, without touching the rest", async () => {
    const { manager, department } = await company("Leaks");
    await manager.accounts.updateSettings({ leakPolicy: LeakPolicy.REVOKE });
    const bot = await department.as.keys.createKey({ name: "bot", scopes: ["models.**"] });
    const rest = await department.as.keys.createKey({ name: "rest", scopes: ["models.**"] });
    const { reports, freshness } = await provider.root().keys.reportLeak({
      secrets: [`config: "${bot.secret}"`, "nothing to see"],
      source: "a public repository",
    });
    expect(reports).toMatchObject([
      { keyId: bot.key!.id, action: LeakAction.REVOKED },
      { keyId: "", action: LeakAction.UNSPECIFIED },
    ]);
    expect(await provider.decide({ key: bot.secret, resource: "models.chat" }, freshness)).toBe("NOT_FOUND");
    expect(await provider.decide({ key: rest.secret, resource: "models.chat" })).toBe("VALID");

    const rolled = await department.as.keys.rotateKey({ key: rest.key!.id });
    expect(rolled.key).toMatchObject({ id: rest.key!.id, status: KeyStatus.ENABLED });
    expect(await provider.decide({ key: rest.secret, resource: "models.chat" }, rolled.freshness)).toBe(
      "NOT_FOUND",
    );
    expect(await provider.decide({ key: rolled.secret, resource: "models.chat" })).toBe("VALID");
  });

  it("a coworker invited into a department gets exactly its access, until the membership ends", async () => {
    const { manager, department } = await company("People");
    const { token } = await manager.members.invite({
      account: "research",
      email: "ada@example.com",
      roles: ["auditor", "developer"],
    });
    const accepted = await provider.root().members.acceptInvitation({ token, subject: "idp|ada" });
    const ada = provider.as(accepted.secret);
    expect((await ada.keys.whoAmI({})).accountSlug).toBe("research");
    expect(await provider.decide({ key: accepted.secret, resource: "models.chat" })).toBe("VALID");
    expect(await reason(ada.keys.createKey({ name: "mine" }))).toBe("SCOPE_DENIED");
    expect(await reason(ada.accounts.getAccount({ account: "people" }))).toBe("NOT_FOUND");

    const service = await department.as.keys.createKey({ name: "service", scopes: ["models.**"] });
    const { freshness } = await manager.members.removeMember({
      account: "research",
      user: accepted.member!.userId,
    });
    expect(await provider.decide({ key: accepted.secret, resource: "models.chat" }, freshness)).toBe(
      "NOT_FOUND",
    );
    expect(await provider.decide({ key: service.secret, resource: "models.chat" })).toBe("VALID");
  });

  it("bills are broken down by department, and a department may pay its own", async () => {
    const { account, manager, department } = await company("Bills");
    const other = await manager.accounts.createAccount({ name: "Other" });
    const { meters, credits } = provider.root();
    const meter = "billed_tokens";
    await meters.createMeter({ name: meter });
    const priced = await credits.setPrice({ meter, currency: "USD", price: 1000n });
    await credits.topUp({ account: account.id, amount: 10_000n, currency: "USD", reference: "invoice 7" });
    const ofCompany = { usesParentBalance: true };
    await manager.credits.setBalanceSource({ account: "research", ...ofCompany });
    const { freshness } = await manager.credits.setBalanceSource({ account: "other", ...ofCompany });
    const call = (key: string, units: bigint, since = freshness) =>
      provider.decide({ key, charges: [{ meter, units }] }, priced.freshness, since);
    expect([await call(department.secret, 2n), await call(other.secret, 3n)]).toEqual(["VALID", "VALID"]);

    const own = await manager.credits.setBalanceSource({ account: "research", usesParentBalance: false });
    expect(await call(department.secret, 1n, own.freshness)).toBe("CREDIT_EXHAUSTED");
    const paid = await manager.credits.transfer({
      ...{ from: account.id, to: "research", amount: 1000n, currency: "USD", idempotencyKey: "march" },
    });
    expect(await call(department.secret, 1n, paid.freshness)).toBe("VALID");
    expect(await call(department.secret, 1n)).toBe("CREDIT_EXHAUSTED");

    const bill = async (as: typeof manager) => {
      const { rows } = await as.usage.queryUsage({ descendants: true, groupBy: [GroupBy.ACCOUNT], meter });
      return rows.map(({ accountId, cost, currency }) => [accountId, Number(cost), currency]);
    };
    await until(
      "the usage arrives",
      async () =>
        (await bill(manager)).reduce((sum, [, cost]) => sum + Number(cost), 0) === 6000 || undefined,
    );
    const research = [department.account!.id, 3000, "USD"];
    expect(await bill(manager)).toEqual([research, [other.account!.id, 3000, "USD"]]);
    expect(await bill(department.as)).toEqual([research]);

    const period = new Date().toISOString().slice(0, 7);
    const balances = async (as: typeof manager) =>
      (await as.usage.getStatement({ period })).statement!.balances;
    const ofAll = { topUps: 10_000n, transfers: 0n, usage: -6000n, closing: 4000n };
    expect(await balances(manager)).toMatchObject([ofAll]);
    expect(await balances(department.as)).toMatchObject([{ transfers: 1000n, usage: -1000n, closing: 0n }]);
  });

  it("an API without subaccounts is called with the company's one credential, by each department within its quota", async () => {
    const { manager, department } = await company("Facade");
    const credential = { name: "x-api-key", value: "the one key of the company" };
    const kept = await manager.accounts.setUpstreamCredential({
      header: credential.name,
      value: credential.value,
    });
    const facade = await manager.keys.createKey({
      name: "facade",
      kind: KeyKind.MASTER,
      scopes: ["gatehouse.verify"],
    });
    const { freshness } = await manager.limits.setLimit({
      node: { case: "account", value: "research" },
      allowance: { case: "quota", value: { units: 1n, window: Window.MONTH } },
    });
    const { authz } = provider.as(facade.secret);
    const call = { key: department.secret, resource: "models.chat" };
    const atLeastAsFresh = [kept.freshness, facade.freshness, freshness];
    const first = await authz.verify({ ...call, atLeastAsFresh });
    expect([first.code, first.upstreamHeader]).toMatchObject([DecisionCode.VALID, credential]);
    const second = await authz.verify(call);
    expect([second.code, second.upstreamHeader]).toEqual([DecisionCode.QUOTA_EXCEEDED, undefined]);

    // In front of another company's API, the key is nobody's.
    const stranger = await company("Elsewhere");
    const theirs = await stranger.manager.keys.createKey({
      name: "facade",
      kind: KeyKind.MASTER,
      scopes: ["gatehouse.verify"],
    });
    const asked = { ...call, atLeastAsFresh: [theirs.freshness] };
    expect((await provider.as(theirs.secret).authz.verify(asked)).code).toBe(DecisionCode.NOT_FOUND);
  });

  it("who did what in a department is on record for its own managers and the company's", async () => {
    const { manager, department } = await company("Record");
    const { key } = await department.as.keys.createKey({ name: "bot" });
    await department.as.keys.revokeKey({ key: key!.id });
    const actions = async (as: typeof manager, account: string) => {
      const { events } = await as.audit.listEvents({ account, target: key!.id });
      return events.map(({ action }) => action);
    };
    const both = ["gatehouse.keys.revoke", "gatehouse.keys.create"];
    expect(await actions(department.as, "research")).toEqual(both);
    expect(await actions(manager, "research")).toEqual(both);

    // Limits and money have a record of their own, of what was refused, too.
    const node = { case: "account", value: "research" } as const;
    const allowance = { case: "quota", value: { units: 9n, window: Window.DAY } } as const;
    await manager.limits.setLimit({ node, allowance });
    expect(await reason(department.as.limits.setLimit({ node, allowance }))).toBe("OWN_CEILING");
    for (const as of [department.as, manager]) {
      const { events } = await as.meteringAudit.listEvents({ account: "research" });
      expect(events.map(({ action, outcome }) => [action, outcome])).toEqual([
        ["gatehouse.limits.set", "OWN_CEILING"],
        ["gatehouse.limits.set", "OK"],
      ]);
    }
  });
});
