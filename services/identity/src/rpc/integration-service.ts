import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type IntegrationSchema, IntegrationService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import {
  createDefinition,
  deleteDefinition,
  getDefinition,
  listDefinitions,
  updateDefinition,
} from "../domain/define.ts";
import type { Definition, DefinitionBodies } from "../domain/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { INTEGRATIONS } from "../domain/integrations.ts";
import { maskOf, timesOf } from "./definition-message.ts";

export function integrationService(domain: Domain): Route<Principal> {
  return route<typeof IntegrationService, Principal>(IntegrationService, {
    async createIntegration(request, { principal }) {
      const wanted = { name: request.name, body: bodyOf(request) };
      const { definition, freshness } = await createDefinition(domain, INTEGRATIONS, principal, wanted);
      return { integration: messageOf(definition), freshness };
    },

    async getIntegration({ integration }, { principal }) {
      return { integration: messageOf(await getDefinition(domain, INTEGRATIONS, principal, integration)) };
    },

    async listIntegrations(_request, { principal }) {
      return { integrations: (await listDefinitions(domain, INTEGRATIONS, principal)).map(messageOf) };
    },

    async updateIntegration(request, { principal }) {
      const wanted = { name: request.integration, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, INTEGRATIONS, principal, wanted);
      return { integration: messageOf(definition), freshness };
    },

    deleteIntegration({ integration }, { principal }) {
      return deleteDefinition(domain, INTEGRATIONS, principal, { name: integration });
    },
  });
}

function bodyOf(request: DefinitionBodies["integration"]): DefinitionBodies["integration"] {
  const { title, deniedToSubKeys } = request;
  return { title, deniedToSubKeys };
}

function messageOf(definition: Definition<"integration">): MessageInitShape<typeof IntegrationSchema> {
  const { name, body } = definition;
  return { name, ...body, ...timesOf(definition) };
}
