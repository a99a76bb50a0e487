import { DecisionCode } from "@gatehouse/proto/authz";
import { LimitSource, Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });

const daily = (units: bigint) => ({
  allowance: { case: "quota", value: { units, window: Window.DAY } } as const,
});

test("a plan's limits bind its organizations, follow the plan, and end where a limit is set or reset", async () => {
  const { root } = system();
  await root.plans.createPlan({ name: "trial", depth: 1, defaultLimits: [daily(3n)] }, timely);
  const { id: organizationId, key } = await makeOrganization(system(), "On trial");
  const toPlan = async (plan: string) => {
    await root.accounts.updateAccount({ account: organizationId, plan }, timely);
  };
  await toPlan("trial");
  const node = { case: "account", value: organizationId } as const;
  const allowance = async () => (await root.limits.getAllowance({ node }, timely)).allowances[0];
  await expect.poll(allowance).toMatchObject({ limit: { source: LimitSource.PLAN }, remaining: 3n });
  const call = async () => DecisionCode[(await root.authz[0]!.verify({ key: key.secret }, timely)).code];
  const admitted = async (most: number) => {
    for (let count = 0; count < most; ) {
      const code = await call();
      if (code === "VALID") count++;
      else if (code === "QUOTA_EXCEEDED") return count;
    }
    return most;
  };
  expect(await admitted(10)).toBe(3);
  await root.plans.updatePlan({ plan: "trial", defaultLimits: [daily(5n)] }, timely);
  await expect.poll(call, { timeout: 5000 }).toBe("VALID");
  expect(await admitted(10)).toBe(1);

  const { limit } = (await allowance())!;
  await root.limits.resetLimit({ limit: limit!.id }, timely);
  await expect.poll(call, { timeout: 5000 }).toBe("VALID");
  expect(await admitted(10)).toBe(4);
  await root.limits.setLimit({ node, ...daily(6n) }, timely);
  await expect.poll(call, { timeout: 5000 }).toBe("VALID");
  expect(await admitted(10)).toBe(0);
  expect((await allowance())!.limit).toMatchObject({ id: limit!.id, source: LimitSource.OWN });
});
