import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type ApiSchema, CatalogService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { APIS } from "../domain/catalog.ts";
import {
  createDefinition,
  deleteDefinition,
  getDefinition,
  listDefinitions,
  updateDefinition,
} from "../domain/define.ts";
import type { Definition, DefinitionBodies } from "../domain/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { maskOf, timesOf } from "./definition-message.ts";

export function catalogService(domain: Domain): Route<Principal> {
  return route<typeof CatalogService, Principal>(CatalogService, {
    async createApi(request, { principal }) {
      const wanted = { name: request.name, body: bodyOf(request) };
      const { definition, freshness } = await createDefinition(domain, APIS, principal, wanted);
      return { api: messageOf(definition), freshness };
    },

    async getApi({ api }, { principal }) {
      return { api: messageOf(await getDefinition(domain, APIS, principal, api)) };
    },

    async listApis(_request, { principal }) {
      return { apis: (await listDefinitions(domain, APIS, principal)).map(messageOf) };
    },

    async updateApi(request, { principal }) {
      const wanted = { name: request.api, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, APIS, principal, wanted);
      return { api: messageOf(definition), freshness };
    },

    deleteApi({ api }, { principal }) {
      return deleteDefinition(domain, APIS, principal, { name: api });
    },
  });
}

function bodyOf(request: DefinitionBodies["api"]): DefinitionBodies["api"] {
  const { title, endpoints, features } = request;
  return { title, endpoints, features };
}

function messageOf(definition: Definition<"api">): MessageInitShape<typeof ApiSchema> {
  const { name, body } = definition;
  const { title, endpoints, features } = body;
  return { name, title, endpoints: [...endpoints], features: [...features], ...timesOf(definition) };
}
