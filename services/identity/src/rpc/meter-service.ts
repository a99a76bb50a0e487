import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import { type MeterSchema, MeterService } from "@gatehouse/proto/identity";
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
import { METERS } from "../domain/meters.ts";
import { maskOf } from "./definition-message.ts";

export function meterService(domain: Domain): Route<Principal> {
  return route<typeof MeterService, Principal>(MeterService, {
    async createMeter(request, { principal }) {
      const wanted = { name: request.name, body: bodyOf(request) };
      const { definition, freshness } = await createDefinition(domain, METERS, principal, wanted);
      return { meter: messageOf(definition), freshness };
    },

    async getMeter({ meter }, { principal }) {
      return { meter: messageOf(await getDefinition(domain, METERS, principal, meter)) };
    },

    async listMeters(_request, { principal }) {
      return { meters: (await listDefinitions(domain, METERS, principal)).map(messageOf) };
    },

    async updateMeter(request, { principal }) {
      const wanted = { name: request.meter, body: bodyOf(request), mask: maskOf(request.updateMask) };
      const { definition, freshness } = await updateDefinition(domain, METERS, principal, wanted);
      return { meter: messageOf(definition), freshness };
    },

    deleteMeter({ meter }, { principal }) {
      return deleteDefinition(domain, METERS, principal, { name: meter });
    },
  });
}

function bodyOf(request: DefinitionBodies["meter"]): DefinitionBodies["meter"] {
  const { title, unit } = request;
  return { title, unit };
}

function messageOf(definition: Definition<"meter">): MessageInitShape<typeof MeterSchema> {
  const { name, body, createdAt } = definition;
  return { name, ...body, createdAt: timestampFromDate(createdAt) };
}
