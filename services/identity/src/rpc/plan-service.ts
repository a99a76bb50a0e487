import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type CreatePlanRequest, PlanFeature, type PlanSchema, PlanService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import {
  createDefinition,
  deleteDefinition,
  getDefinition,
  listDefinitions,
  updateDefinition,
} from "../domain/define.ts";
import type { Definition, Plan } from "../domain/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { DEFAULT_PLAN } from "../domain/plan.ts";
import { PLANS } from "../domain/plans.ts";
import { maskOf, timesOf } from "./definition-message.ts";

export function planService(domain: Domain): Route<Principal> {
  return route<typeof PlanService, Principal>(PlanService, {
    async createPlan(request, { principal }) {
      const wanted = { name: request.name, body: bodyOf(withDefaults(request)) };
      const { definition, freshness } = await createDefinition(domain, PLANS, principal, wanted);
      return { plan: messageOf(definition), freshness };
    },

    async getPlan({ plan }, { principal }) {
      return { plan: messageOf(await getDefinition(domain, PLANS, principal, plan)) };
    },

    async listPlans(_request, { principal }) {
      return { plans: (await listDefinitions(domain, PLANS, principal)).map(messageOf) };
    },

    async updatePlan(request, { principal }) {
      const wanted = { name: request.plan, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, PLANS, principal, wanted);
      return { plan: messageOf(definition), freshness };
    },

    deletePlan({ plan }, { principal }) {
      return deleteDefinition(domain, PLANS, principal, { name: plan });
    },
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
  readonly depth: number;
  readonly accounts: bigint;
  readonly keysPerAccount: bigint;
  readonly subKeysPerAccount: bigint;
  readonly features: readonly PlanFeature[];
}

function bodyOf(plan: WirePlan): Plan {
  return {
    title: plan.title,
    depth: plan.depth,
    accounts: Number(plan.accounts),
    keysPerAccount: Number(plan.keysPerAccount),
    subKeysPerAccount: Number(plan.subKeysPerAccount),
    // Whether each is one is the domain's to say.
    features: plan.features.map((feature) => PlanFeature[feature] ?? "UNKNOWN") as Plan["features"],
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
    ...timesOf(plan),
  };
}
