import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type TermsSchema, TermsService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import {
  createDefinition,
  deleteDefinition,
  getDefinition,
  listDefinitions,
  updateDefinition,
} from "../domain/define.ts";
import type { Definition, DefinitionBodies } from "../domain/definition.ts";
import type { Domain } from "../domain/domain.ts";
import { TERMS } from "../domain/terms.ts";
import { maskOf, timesOf } from "./definition-message.ts";

export function termsService(domain: Domain): Route<Principal> {
  return route<typeof TermsService, Principal>(TermsService, {
    async createTerms(request, { principal }) {
      const wanted = { name: request.document, body: bodyOf(request) };
      const { definition, freshness } = await createDefinition(domain, TERMS, principal, wanted);
      return { terms: messageOf(definition), freshness };
    },

    async getTerms({ document }, { principal }) {
      return { terms: messageOf(await getDefinition(domain, TERMS, principal, document)) };
    },

    async listTerms(_request, { principal }) {
      return { terms: (await listDefinitions(domain, TERMS, principal)).map(messageOf) };
    },

    async updateTerms(request, { principal }) {
      const wanted = { name: request.document, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, TERMS, principal, wanted);
      return { terms: messageOf(definition), freshness };
    },

    deleteTerms({ document }, { principal }) {
      return deleteDefinition(domain, TERMS, principal, { name: document });
    },
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
