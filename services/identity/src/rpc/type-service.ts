import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type TypeSchema, TypeService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { TYPES } from "../domain/account-types.ts";
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

export function typeService(domain: Domain): Route<Principal> {
  return route<typeof TypeService, Principal>(TypeService, {
    async createType(request, { principal }) {
      const wanted = { name: request.name, body: bodyOf(request) };
      const { definition, freshness } = await createDefinition(domain, TYPES, principal, wanted);
      return { type: messageOf(definition), freshness };
    },

    async getType({ type }, { principal }) {
      return { type: messageOf(await getDefinition(domain, TYPES, principal, type)) };
    },

    async listTypes(_request, { principal }) {
      return { types: (await listDefinitions(domain, TYPES, principal)).map(messageOf) };
    },

    async updateType(request, { principal }) {
      const wanted = { name: request.type, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, TYPES, principal, wanted);
      return { type: messageOf(definition), freshness };
    },

    deleteType({ type }, { principal }) {
      return deleteDefinition(domain, TYPES, principal, { name: type });
    },
  });
}

function bodyOf(request: DefinitionBodies["type"]): DefinitionBodies["type"] {
  const { title, open, scopeCeiling } = request;
  return { title, open, scopeCeiling };
}

function messageOf(definition: Definition<"type">): MessageInitShape<typeof TypeSchema> {
  const { name, body } = definition;
  return { name, ...body, scopeCeiling: [...body.scopeCeiling], ...timesOf(definition) };
}
