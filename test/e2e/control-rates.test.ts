import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });
const KEYS = 5;

test("creations of keys are limited per organization, and keys can be revoked all the same", async () => {
  const { root } = system();
  const { id, master, key } = await makeOrganization(system(), "Limited");
  const onAccount = { node: { case: "account", value: id } as const };
  const rate = { units: BigInt(KEYS), interval: durationFromMs(3_600_000) };
  const resource = "gatehouse.keys.create";
  await root.limits.setLimit({ ...onAccount, resource, allowance: { case: "rate", value: rate } }, timely);
  const none = { units: 0n, window: Window.MONTH };
  await root.limits.setLimit({ ...onAccount, allowance: { case: "quota", value: none } }, timely);

  const made: string[] = [];
  let refusal: Failure | undefined;
  // Before identity asked again it was told that there is no such rate, for a second.
  for (let i = 0; refusal === undefined; i++) {
    try {
      made.push((await master.keys.createKey({ name: `k${i}` }, timely)).key!.id);
    } catch (error) {
      refusal = error as Failure;
    }
  }
  expect(made.length).toBeGreaterThanOrEqual(KEYS);
  expect(refusal).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "RATE_LIMITED" });
  expect(refusal.retryAfterMs).toBeGreaterThan(0);
  expect(refusal.quota).toHaveLength(1);

  // Out of quota, and out of creations: what is there can still be taken away and looked at.
  const { code } = await root.authz[0]!.verify({ key: key.secret }, timely);
  expect(DecisionCode[code]).toBe("QUOTA_EXCEEDED");
  await master.keys.revokeKey({ key: made[0]! }, timely);
  await master.keys.disableKey({ key: made[1]! }, timely);
  expect((await master.keys.listKeys({}, timely)).keys.length).toBeGreaterThanOrEqual(KEYS);
  // Other organizations are not its concern.
  const other = await makeOrganization(system(), "Unlimited");
  for (let i = 0; i < KEYS + 2; i++) await other.master.keys.createKey({ name: `k${i}` }, timely);
});
