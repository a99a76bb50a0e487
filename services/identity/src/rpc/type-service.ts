import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type TypeSchema, TypeService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { TYPES } from "../domain/definitions/account-types.ts";
import type { Definition, DefinitionBodies } from "../domain/definitions/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function typeService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, TYPES, { field: "type", bodyOf, messageOf });
  return route<typeof TypeService, Principal>(TypeService, {
    createType: (request, call) => rpcs.create({ name: request.name }, request, call),
    getType: ({ type }, call) => rpcs.get(type, call),
    listTypes: async (_request, call) => ({ types: await rpcs.list(call) }),
    updateType: (request, call) => rpcs.update({ name: request.type }, request, call),
    deleteType: ({ type }, call) => rpcs.delete({ name: type }, call),
  });
}

type WireType = Omit<DefinitionBodies["type"], "open"> & { readonly open?: boolean | undefined };

function bodyOf({ title, open = false, scopeCeiling }: WireType): DefinitionBodies["type"] {
  return { title, open, scopeCeiling };
}

function messageOf(definition: Definition<"type">): MessageInitShape<typeof TypeSchema> {
  const { name, body } = definition;
  return { name, ...body, scopeCeiling: [...body.scopeCeiling], ...timesOf(definition) };
}
