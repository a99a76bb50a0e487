import { reasonOf } from "@gatehouse/client";
import { KeyStatus, LeakAction, LeakPolicy } from "@gatehouse/proto/identity";
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
  });
});
