import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type RoleSchema, RoleService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { DefinitionBodies } from "../domain/definitions/definition.ts";
import { type GivenRole, getRole, listRoles, ROLES } from "../domain/definitions/roles.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function roleService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, ROLES, { field: "role", bodyOf, messageOf });
  return route<typeof RoleService, Principal>(RoleService, {
    createRole: (request, call) =>
      rpcs.create({ account: request.account, name: request.name }, request, call),
    updateRole: (request, call) =>
      rpcs.update({ account: request.account, name: request.role }, request, call),
    deleteRole: ({ account, role }, call) => rpcs.delete({ account, name: role }, call),

    async getRole({ account, role }, { principal }) {
      return { role: messageOf(await getRole(domain, principal, { account, name: role })) };
    },

    async listRoles({ account }, { principal }) {
      return { roles: (await listRoles(domain, principal, { account })).map(messageOf) };
    },
  });
}

function bodyOf({ title, scopes }: DefinitionBodies["role"]): DefinitionBodies["role"] {
  return { title, scopes };
}

function messageOf(role: GivenRole): MessageInitShape<typeof RoleSchema> {
  if (!("body" in role)) return { name: role.name, scopes: [...role.scopes], builtIn: true };
  const { id, name, body, accountId } = role;
  return { id, name, title: body.title, scopes: [...body.scopes], accountId, ...timesOf(role) };
}
