import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type TermsSchema, TermsService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Definition, DefinitionBodies } from "../domain/definitions/definition.ts";
import { TERMS } from "../domain/definitions/terms.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs, timesOf } from "./definition-rpcs.ts";

export function termsService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, TERMS, { field: "terms", bodyOf, messageOf });
  return route<typeof TermsService, Principal>(TermsService, {
    createTerms: (request, call) => rpcs.create({ name: request.document }, request, call),
    getTerms: ({ document }, call) => rpcs.get(document, call),
    listTerms: async (_request, call) => ({ terms: await rpcs.list(call) }),
    updateTerms: (request, call) => rpcs.update({ name: request.document }, request, call),
    deleteTerms: ({ document }, call) => rpcs.delete({ name: document }, call),
  });
}

function bodyOf(request: DefinitionBodies["terms"]): DefinitionBodies["terms"] {
  const { version, title, url, gates } = request;
  return { version, title, url, gates };
}

function messageOf(definition: Definition<"terms">): MessageInitShape<typeof TermsSchema> {
  const { name: document, body } = definition;
  return { document, ...body, gates: [...body.gates], ...timesOf(definition) };
}
