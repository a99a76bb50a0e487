import { failedPrecondition } from "@gatehouse/service/failure";
import type { Fields } from "../fields.ts";
import { planGate } from "../rules/gates.ts";
import { readDefaultLimits, requireMeters } from "./default-limits.ts";
import { PLAN_FEATURES } from "./definition.ts";
import { type Kind, title } from "./kind.ts";
import { DEFAULT_PLAN_NAME } from "./plan.ts";

const MAX_COUNT = 1_000_000;
const MAX_DEPTH = 10;

export const PLANS: Kind<"plan"> = {
  kind: "plan",
  what: "plan",
  many: "plans",
  scopes: "gatehouse.plans",
  idPrefix: "pln",
  fields: {
    title,
    depth: whole(0, MAX_DEPTH),
    accounts: whole(0, MAX_COUNT),
    keysPerAccount: whole(1, MAX_COUNT),
    subKeysPerAccount: whole(0, MAX_COUNT),
    features(fields, field, value) {
      for (const [index, feature] of value.slice(0, PLAN_FEATURES.length + 1).entries()) {
        fields.choice(`${field}[${index}]`, feature, PLAN_FEATURES);
      }
      if (value.length > PLAN_FEATURES.length) {
        fields.wrong(field, `must have at most ${PLAN_FEATURES.length} features`);
      }
      return PLAN_FEATURES.filter((feature) => value.includes(feature));
    },
    defaultLimits: readDefaultLimits,
  },
  most: 100,
  changedGates: (name) => [planGate(name)],
  async rule(change, { name, owner, before, after }) {
    if (after !== undefined) {
      await requireMeters(change, owner[0].id, after.defaultLimits, before?.defaultLimits);
      return;
    }
    if (name === DEFAULT_PLAN_NAME) throw failedPrecondition("IN_USE", `the plan ${name} is always there`);
    if (await change.definitions.isInUse("plan", name)) {
      throw failedPrecondition("IN_USE", "an organization has the plan");
    }
  },
};

function whole(min: number, max: number) {
  return (fields: Fields, field: string, value: number): number => {
    if (!Number.isInteger(value) || value < min || value > max)
      fields.wrong(field, `must be ${min} to ${max}`);
    return value;
  };
}
