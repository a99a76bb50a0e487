import type { MessageInitShape } from "@bufbuild/protobuf";
import { integrationName, type Principal } from "@gatehouse/access";
import { type IntegrationSchema, IntegrationService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Definition, DefinitionBodies } from "../domain/definitions/definition.ts";
import { INTEGRATIONS } from "../domain/definitions/integrations.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function integrationService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, INTEGRATIONS, { field: "integration", bodyOf, messageOf });
  return route<typeof IntegrationService, Principal>(IntegrationService, {
    createIntegration: (request, call) => rpcs.create({ name: named(request.name) }, request, call),
    getIntegration: ({ integration }, call) => rpcs.get(named(integration), call),
    listIntegrations: async (_request, call) => ({ integrations: await rpcs.list(call) }),
    updateIntegration: (request, call) => rpcs.update({ name: named(request.integration) }, request, call),
    deleteIntegration: ({ integration }, call) => rpcs.delete({ name: named(integration) }, call),
  });
}

// What can be no name is for the rules of names to refuse.
function named(name: string): string {
  return integrationName(name) ?? name;
}

interface WireIntegration {
  readonly title: string;
  readonly deniedToSubKeys?: boolean | undefined;
}

function bodyOf({ title, deniedToSubKeys = false }: WireIntegration): DefinitionBodies["integration"] {
  return { title, deniedToSubKeys };
}

function messageOf(definition: Definition<"integration">): MessageInitShape<typeof IntegrationSchema> {
  const { name, body } = definition;
  return { name, ...body, ...timesOf(definition) };
}
