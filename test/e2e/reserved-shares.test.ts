import { DecisionCode } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}, {}] });
const UNITS = 200;
const KEPT = 50;
const CALLERS = 8;

test.each([
  ["has the part that is kept for it, to the unit, whatever its siblings call", KEPT / UNITS, KEPT],
  ["without such a part has what its siblings leave it, which is nothing", 0, 1],
])("a team %s", async (_, reservedShare, most) => {
  const { root } = system();
  const organization = await makeOrganization(system(), `Shared ${reservedShare}`, ["kept", "greedy"]);
  const [kept, greedy] = organization.subaccounts.map(({ id, key }) => ({ id, secret: key.secret }));
  const allowance = (units: number) =>
    ({ case: "quota", value: { units: BigInt(units), window: Window.DAY } }) as const;
  const onAccount = (value: string) => ({ case: "account", value }) as const;
  await root.limits.setLimit({ node: onAccount(organization.id), allowance: allowance(UNITS) }, timely);
  await root.limits.setLimit(
    { node: onAccount(kept!.id), allowance: allowance(UNITS), reservedShare },
    timely,
  );

  const call = async (secret: string, replica: number) => {
    const { code, bindingLimit } = await root.authz[replica % 2]!.verify({ key: secret }, timely);
    expect(bindingLimit?.limitId ?? "").not.toContain("@");
    return DecisionCode[code];
  };
  /** How many of its calls are admitted until one is refused. */
  const admitted = async (secret: string, most: number) => {
    let count = 0;
    const caller = async (replica: number) => {
      while (count < most) {
        const code = await call(secret, replica);
        if (code === "VALID") count++;
        else if (code === "QUOTA_EXCEEDED") return;
        else expect(code).toBe("INDETERMINATE");
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, (_, i) => caller(i)));
    return count;
  };
  // So that both replicas hold units for it before its siblings begin.
  for (const replica of [0, 1]) await expect.poll(() => call(kept!.secret, replica)).toBe("VALID");
  const theirs = await admitted(greedy!.secret, UNITS + 1);
  const mine = 2 + (await admitted(kept!.secret, UNITS));
  expect(theirs + mine).toBe(UNITS);
  if (reservedShare > 0) expect(mine).toBe(most);
  else expect(mine).toBeLessThanOrEqual(2 + most);
});
