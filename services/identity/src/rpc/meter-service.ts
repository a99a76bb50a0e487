import type { Principal } from "@gatehouse/access";
import { MeterService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import { createMeter, getMeter, listMeters } from "../domain/meters.ts";
import { meterMessage } from "./convert-out.ts";
import { notYet } from "./not-yet.ts";

export function meterService(domain: Domain): Route<Principal> {
  return route<typeof MeterService, Principal>(MeterService, {
    updateMeter: notYet,
    deleteMeter: notYet,
    async createMeter({ name, title, unit }, call) {
      const { meter, freshness } = await createMeter(domain, call.principal, { name, title, unit });
      return { meter: meterMessage(meter), freshness };
    },

    async getMeter({ meter }) {
      return { meter: meterMessage(await getMeter(domain, meter)) };
    },

    async listMeters() {
      return { meters: (await listMeters(domain)).map(meterMessage) };
    },
  });
}
