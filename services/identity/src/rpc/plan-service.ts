import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import {
  type CreatePlanRequest,
  type DefaultLimit,
  PlanFeature,
  type PlanSchema,
  PlanService,
} from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Definition, Plan } from "../domain/definitions/definition.ts";
import { DEFAULT_PLAN } from "../domain/definitions/plan.ts";
import { PLANS } from "../domain/definitions/plans.ts";
import type { Domain } from "../domain/domain.ts";
import { defaultLimitMessage, defaultLimitOf } from "./default-limit-message.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function planService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, PLANS, { field: "plan", bodyOf, messageOf });
  return route<typeof PlanService, Principal>(PlanService, {
    createPlan: (request, call) => rpcs.create({ name: request.name }, withDefaults(request), call),
    getPlan: ({ plan }, call) => rpcs.get(plan, call),
    listPlans: async (_request, call) => ({ plans: await rpcs.list(call) }),
    updatePlan: (request, call) => rpcs.update({ name: request.plan }, request, call),
    deletePlan: ({ plan }, call) => rpcs.delete({ name: plan }, call),
  });
}

/** What its creator leaves out is as in the plan `default` of the first start; features are not left out but none. */
function withDefaults(request: CreatePlanRequest): WirePlan {
  const { depth, accounts, keysPerAccount, subKeysPerAccount } = DEFAULT_PLAN;
  return {
    ...request,
    depth: request.depth ?? depth,
    accounts: request.accounts ?? BigInt(accounts),
    keysPerAccount: request.keysPerAccount ?? BigInt(keysPerAccount),
    subKeysPerAccount: request.subKeysPerAccount ?? BigInt(subKeysPerAccount),
  };
}

interface WirePlan {
  readonly title: string;
  readonly depth?: number | undefined;
  readonly accounts?: bigint | undefined;
  readonly keysPerAccount?: bigint | undefined;
  readonly subKeysPerAccount?: bigint | undefined;
  readonly features: readonly PlanFeature[];
  readonly defaultLimits: readonly DefaultLimit[];
}

function bodyOf(plan: WirePlan): Plan {
  return {
    title: plan.title,
    depth: plan.depth ?? 0,
    accounts: Number(plan.accounts ?? 0),
    keysPerAccount: Number(plan.keysPerAccount ?? 0),
    subKeysPerAccount: Number(plan.subKeysPerAccount ?? 0),
    // Whether each is one is the domain's to say.
    features: plan.features.map((feature) => PlanFeature[feature] ?? "UNKNOWN") as Plan["features"],
    defaultLimits: plan.defaultLimits.map(defaultLimitOf),
  };
}

function messageOf(plan: Definition<"plan">): MessageInitShape<typeof PlanSchema> {
  const { id, name, body } = plan;
  return {
    id,
    name,
    title: body.title,
    depth: body.depth,
    accounts: BigInt(body.accounts),
    keysPerAccount: BigInt(body.keysPerAccount),
    subKeysPerAccount: BigInt(body.subKeysPerAccount),
    features: body.features.map((feature) => PlanFeature[feature]),
    defaultLimits: body.defaultLimits.map(defaultLimitMessage),
    ...timesOf(plan),
  };
}
