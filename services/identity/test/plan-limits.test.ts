import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { DefaultLimitSchema } from "@gatehouse/proto/identity";
import { Enforcement, Window } from "@gatehouse/proto/metering";
import { afterAll, beforeAll, expect, it } from "vitest";
import { badFieldsOf, type System, startSystem, timely } from "./system.ts";

type DefaultLimit = MessageInitShape<typeof DefaultLimitSchema>;

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

const quota = (units: bigint, window = Window.MONTH): DefaultLimit => ({
  allowance: { case: "quota", value: { units, window } },
});
const rate = (units: bigint, intervalMs = 10_000): DefaultLimit => ({
  allowance: { case: "rate", value: { units, interval: durationFromMs(intervalMs) } },
});

it("a plan has default limits, as they were given, with what was left out", async () => {
  const { plans, meters } = system.root;
  await meters.createMeter({ name: "tokens" }, timely);
  const defaultLimits: DefaultLimit[] = [
    { ...quota(1000n), meter: "tokens", resource: "model.**", enforcement: Enforcement.WARN },
    rate(5n),
  ];
  const { plan } = await plans.createPlan({ name: "limited", defaultLimits }, timely);
  const kept = [
    {
      meter: "tokens",
      resource: "model.**",
      allowance: { case: "quota", value: { units: 1000n, window: Window.MONTH, timeZone: "UTC" } },
      enforcement: Enforcement.WARN,
    },
    {
      meter: "requests",
      allowance: { case: "rate", value: { units: 5n, interval: { seconds: 10n }, burst: 5n } },
      enforcement: Enforcement.ENFORCE,
    },
  ];
  expect(plan!.defaultLimits).toMatchObject(kept);
  expect((await plans.getPlan({ plan: "limited" }, timely)).plan).toEqual(plan);
  expect((await plans.createPlan({ name: "limited", defaultLimits }, timely)).plan).toEqual(plan);
  const listed = (await plans.listPlans({}, timely)).plans;
  expect(listed.find(({ name }) => name === "limited")).toEqual(plan);
  expect(listed.find(({ name }) => name === "default")!.defaultLimits).toEqual([]);

  const changed = await plans.updatePlan({ plan: "limited", defaultLimits: [quota(1n)] }, timely);
  expect(changed.plan!.defaultLimits).toMatchObject([{ allowance: { value: { units: 1n } } }]);
  expect((await plans.updatePlan({ plan: "limited", title: "T" }, timely)).plan!.defaultLimits).toHaveLength(
    1,
  );
  const mask = { updateMask: { paths: ["default_limits"] } };
  expect((await plans.updatePlan({ plan: "limited", ...mask }, timely)).plan!.defaultLimits).toEqual([]);
});

it("every bad field of every limit is named", async () => {
  const bad: DefaultLimit[] = [
    { resource: "!orders", enforcement: 9 as Enforcement },
    { ...quota(-1n, 99 as Window), resource: "a b" },
    {
      allowance: { case: "quota", value: { units: 2n ** 60n, window: Window.DAY, timeZone: "Mars/Olympus" } },
    },
    rate(0n, 86_400_001),
    rate(1n),
    rate(2n),
  ];
  expect(
    await badFieldsOf(system.root.plans.createPlan({ name: "bad", defaultLimits: bad }, timely)),
  ).toEqual([
    "default_limits[0].resource",
    "default_limits[0].enforcement",
    "default_limits[0].rate",
    "default_limits[1].resource",
    "default_limits[1].quota.units",
    "default_limits[1].quota.window",
    "default_limits[2].quota.units",
    "default_limits[2].quota.time_zone",
    "default_limits[3].rate.units",
    "default_limits[3].rate.interval",
    "default_limits[5]",
  ]);
  const many = Array.from({ length: 51 }, (_, i) => ({ ...quota(1n), resource: `r${i}` }));
  const create = (defaultLimits: DefaultLimit[]) =>
    badFieldsOf(system.root.plans.createPlan({ name: "many", defaultLimits }, timely));
  expect(await create(many)).toEqual(["default_limits"]);
  expect(await create(many.slice(1))).toEqual([]);
});

it("the meters of the limits exist; one that goes later is kept", async () => {
  const { plans, meters } = system.root;
  const pages = { ...quota(3n), meter: "pages" };
  const create = () =>
    badFieldsOf(plans.createPlan({ name: "paged", defaultLimits: [quota(1n), pages] }, timely));
  expect(await create()).toEqual(["default_limits[1].meter"]);
  await meters.createMeter({ name: "pages" }, timely);
  expect(await create()).toEqual([]);
  await meters.deleteMeter({ meter: "pages" }, timely);
  expect(await badFieldsOf(plans.updatePlan({ plan: "paged", title: "Pages" }, timely))).toEqual([]);
});

it("the feed and its snapshot tell of plans with their limits, and of those that are gone", async () => {
  const { head } = await system.feed.getHead({}, timely);
  await system.root.plans.createPlan({ name: "told", defaultLimits: [quota(7n)] }, timely);
  await system.root.plans.createPlan({ name: "untold" }, timely);
  await system.root.plans.deletePlan({ plan: "untold" }, timely);
  const { changes } = await system.feed.listChanges({ after: head! }, timely);
  const told = { name: "told", defaultLimits: [{ allowance: { value: { units: 7n } } }] };
  expect(changes).toMatchObject([
    { entity: { case: "plan", value: told }, deleted: false },
    { entity: { value: { name: "untold", defaultLimits: [] } }, deleted: true },
    { entity: { value: { name: "untold" } }, deleted: true },
  ]);
  const cases: (string | undefined)[] = [];
  for await (const { entities } of system.feed.snapshot({}, timely)) {
    for (const { entity } of entities) {
      cases.push(entity.case);
      if (entity.case === "plan" && entity.value.name === "told") expect(entity.value).toMatchObject(told);
    }
  }
  expect(cases.lastIndexOf("plan")).toBeGreaterThan(0);
  expect(cases.lastIndexOf("plan")).toBeLessThan(cases.indexOf("account"));
});
