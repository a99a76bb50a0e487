import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type ApiSchema, CatalogService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { APIS } from "../domain/definitions/catalog.ts";
import type { Definition, DefinitionBodies } from "../domain/definitions/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function catalogService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, APIS, { field: "api", bodyOf, messageOf });
  return route<typeof CatalogService, Principal>(CatalogService, {
    createApi: (request, call) => rpcs.create({ name: request.name }, request, call),
    getApi: ({ api }, call) => rpcs.get(api, call),
    listApis: async (_request, call) => ({ apis: await rpcs.list(call) }),
    updateApi: (request, call) => rpcs.update({ name: request.api }, request, call),
    deleteApi: ({ api }, call) => rpcs.delete({ name: api }, call),
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
