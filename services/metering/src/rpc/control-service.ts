import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import type { ChargeCall } from "@gatehouse/access/charging-guard";
import { ControlService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type ControlStore, chargeControlCall } from "../domain/control-rates.ts";
import { readBucketsRequest } from "./lease-wire.ts";

/** A limit that is set binds who was told that there is none this much later at most. */
const FREE_FOR_MS = 1000;

/** Charges calls of identity's to rates on them. */
export function controlRoute(store: ControlStore): Route<Principal> {
  return route<typeof ControlService, Principal>(ControlService, {
    async chargeCall({ nodeIds, scope }) {
      const asked = readBucketsRequest({ nodeIds, resource: scope, holder: "" });
      const { exceeded, isFree } = await chargeControlCall(store, asked.nodeIds, scope);
      if (isFree) return { freeFor: durationFromMs(FREE_FOR_MS) };
      if (exceeded === undefined) return {};
      const { limit, retryAfterMs } = exceeded;
      return {
        limitId: limit.id,
        nodeId: limit.node.id,
        ...(retryAfterMs !== undefined && { retryAfter: durationFromMs(Math.ceil(retryAfterMs)) }),
      };
    },
  });
}

/** As the guard of metering's own calls asks. */
export function chargeCallsTo(store: ControlStore): ChargeCall {
  return async (nodeIds, scope) => {
    const { exceeded } = await chargeControlCall(store, nodeIds, scope);
    if (exceeded === undefined) return undefined;
    const { limit, retryAfterMs } = exceeded;
    return { limitId: limit.id, nodeId: limit.node.id, retryAfterMs };
  };
}
