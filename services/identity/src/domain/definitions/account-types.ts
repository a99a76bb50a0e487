import { failedPrecondition } from "@gatehouse/service/failure";
import { typeGate } from "../rules/gates.ts";
import { type Kind, title } from "./kind.ts";

/** Account types. They travel with the root, to every follower. */
export const TYPES: Kind<"type"> = {
  kind: "type",
  what: "type",
  many: "account types",
  scopes: "gatehouse.types",
  fields: {
    title,
    open: (_fields, _field, value) => value,
    scopeCeiling: (fields, field, value) => fields.scopes(field, value),
  },
  most: 50,
  mostBytes: 32 * 1024,
  decidesCalls: true,
  changedGates: (name) => [typeGate(name)],
  async rule(change, { name, after }) {
    if (after !== undefined || !(await change.definitions.isInUse("type", name))) return;
    throw failedPrecondition("IN_USE", "an account is of the type, or has it enabled");
  },
};
