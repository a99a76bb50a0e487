import { type Kind, title } from "./kind.ts";

const MAX_GATES = 50;

/** What organizations must accept. They travel with the root, to every follower. */
export const TERMS: Kind<"terms"> = {
  kind: "terms",
  what: "terms",
  many: "documents with terms",
  scopes: "gatehouse.terms",
  nameField: "document",
  fields: {
    version: (fields, field, value) => fields.text(field, value, { min: 1, max: 63 }),
    title,
    url(fields, field, value) {
      fields.text(field, value, { max: 1000 });
      if (value !== "" && !isWebAddress(value)) fields.wrong(field, "must be an http or https URL");
      return value;
    },
    gates(fields, field, value) {
      if (value.length > MAX_GATES) fields.wrong(field, `must have at most ${MAX_GATES} scopes`);
      return fields.scopes(field, value.slice(0, MAX_GATES));
    },
  },
  most: 20,
  mostBytes: 32 * 1024,
  decidesCalls: true,
};

function isWebAddress(text: string): boolean {
  return /^https?:\/\//.test(text) && URL.canParse(text);
}
