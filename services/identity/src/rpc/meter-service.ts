import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import { type MeterSchema, MeterService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Definition, DefinitionBodies } from "../domain/definitions/definition.ts";
import { METERS } from "../domain/definitions/meters.ts";
import type { Domain } from "../domain/domain.ts";
import { definitionRpcs } from "./definition-rpcs.ts";

export function meterService(domain: Domain): Route<Principal> {
  const rpcs = definitionRpcs(domain, METERS, { field: "meter", bodyOf, messageOf });
  return route<typeof MeterService, Principal>(MeterService, {
    createMeter: (request, call) => rpcs.create({ name: request.name }, request, call),
    getMeter: ({ meter }, call) => rpcs.get(meter, call),
    listMeters: async (_request, call) => ({ meters: await rpcs.list(call) }),
    updateMeter: (request, call) => rpcs.update({ name: request.meter }, request, call),
    deleteMeter: ({ meter }, call) => rpcs.delete({ name: meter }, call),
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
