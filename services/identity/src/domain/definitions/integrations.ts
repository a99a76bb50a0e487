import { type Kind, title } from "./kind.ts";

/** The platforms that calls come through. */
export const INTEGRATIONS: Kind<"integration"> = {
  kind: "integration",
  what: "integration",
  many: "integrations",
  scopes: "gatehouse.integrations",
  fields: { title, deniedToSubKeys: (_fields, _field, value) => value },
  most: 100,
};
