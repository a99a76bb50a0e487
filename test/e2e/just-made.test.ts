import { DecisionCode } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });
const KEYS = 20;

test("a key can be used as soon as it was made, under a limit as soon as that was set", async () => {
  const { root } = system();
  const made = await makeOrganization(system(), "Just made", ["team"]);
  const { id, key } = made.subaccounts[0]!;
  const codes: string[] = [];
  for (let i = 0; i < KEYS; i++) {
    const allowance = { case: "quota" as const, value: { units: BigInt(1000 + i), window: Window.DAY } };
    await root.limits.setLimit({ node: { case: "account", value: id }, allowance }, timely);
    const { secret } = await made.master.keys.createKey(
      { account: id, parentKey: key.id, name: `k${i}` },
      timely,
    );
    const { code } = await root.authz[0]!.verify({ key: secret }, timely);
    codes.push(DecisionCode[code]!);
  }
  expect(codes).toEqual(Array.from({ length: KEYS }, () => "VALID"));
});

test("a meter can be charged as soon as it was declared, and not before", async () => {
  const { root } = system();
  const made = await makeOrganization(system(), "Just declared");
  const call = { key: made.key.secret, charges: [{ meter: "pages", units: 3n }] };
  await expect(root.authz[0]!.verify(call, timely)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "charges[0].meter", description: "no such meter" }],
  });
  await root.meters.createMeter({ name: "pages" }, timely);
  expect((await root.authz[0]!.verify(call, timely)).code).toBe(DecisionCode.VALID);
});
