import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type RoleSchema, RoleService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import { createDefinition, deleteDefinition, updateDefinition } from "../domain/define.ts";
import type { Domain } from "../domain/domain.ts";
import { type GivenRole, getRole, listRoles, ROLES } from "../domain/roles.ts";
import { maskOf, timesOf } from "./definition-message.ts";

export function roleService(domain: Domain): Route<Principal> {
  return route<typeof RoleService, Principal>(RoleService, {
    async createRole({ account, name, title, scopes }, { principal }) {
      const wanted = { account, name, body: { title, scopes } };
      const { definition, freshness } = await createDefinition(domain, ROLES, principal, wanted);
      return { role: messageOf(definition), freshness };
    },

    async getRole({ account, role }, { principal }) {
      return { role: messageOf(await getRole(domain, principal, { account, name: role })) };
    },

    async listRoles({ account }, { principal }) {
      return { roles: (await listRoles(domain, principal, { account })).map(messageOf) };
    },

    async updateRole({ account, role, title, scopes, updateMask }, { principal }) {
      const wanted = { account, name: role, body: { title, scopes }, mask: maskOf(updateMask) };
      const { definition, freshness } = await updateDefinition(domain, ROLES, principal, wanted);
      return { role: messageOf(definition), freshness };
    },

    deleteRole({ account, role }, { principal }) {
      return deleteDefinition(domain, ROLES, principal, { account, name: role });
    },
  });
}

function messageOf(role: GivenRole): MessageInitShape<typeof RoleSchema> {
  if (!("body" in role)) return { name: role.name, scopes: [...role.scopes], builtIn: true };
  const { id, name, body, accountId } = role;
  return { id, name, title: body.title, scopes: [...body.scopes], accountId, ...timesOf(role) };
}
