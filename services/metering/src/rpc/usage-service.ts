import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import {
  type QueryUsageRequest,
  UsageService,
  Granularity as WireGranularity,
  GroupBy as WireGroupBy,
} from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";
import { queryUsage, type UsageDependencies, type UsageRow } from "../domain/query-usage.ts";
import type { UsageDraft } from "../domain/usage-query.ts";
import { nodeName } from "./limit-wire.ts";

const granularities = ["MINUTE", "HOUR", "DAY", "MONTH"] as const;
const groups = ["ACCOUNT", "KEY", "METER", "RESOURCE", "OUTCOME"] as const;

export function usageRoute(dependencies: UsageDependencies): Route<Principal> {
  return route<typeof UsageService, Principal>(UsageService, {
    async queryUsage(request, { principal }) {
      const { rows, nextPageToken } = await queryUsage(dependencies, principal.view, draftOf(request));
      return { rows: rows.map(rowMessage), nextPageToken };
    },

    commitReservation() {
      throw new Failure({ code: "UNIMPLEMENTED", reason: "INTERNAL", message: "not yet" });
    },

    releaseReservation() {
      throw new Failure({ code: "UNIMPLEMENTED", reason: "INTERNAL", message: "not yet" });
    },
  });
}

function draftOf(request: QueryUsageRequest): UsageDraft {
  const { descendants, timeZone, meter, pageSize, pageToken, start, end } = request;
  return {
    node: nodeName(request.node),
    descendants,
    groupBy: request.groupBy.map((group) => groups.find((name) => WireGroupBy[name] === group) ?? "UNKNOWN"),
    granularity:
      request.granularity === WireGranularity.UNSPECIFIED
        ? undefined
        : (granularities.find((name) => WireGranularity[name] === request.granularity) ?? "UNKNOWN"),
    timeZone,
    startMs: start && timestampMs(start),
    endMs: end && timestampMs(end),
    meter,
    pageSize,
    pageToken,
  };
}

function rowMessage({ startMs, meter, groups, units }: UsageRow) {
  return {
    start: timestampFromMs(startMs),
    accountId: groups.ACCOUNT ?? "",
    keyId: groups.KEY ?? "",
    meter,
    resource: groups.RESOURCE ?? "",
    outcome: groups.OUTCOME ?? "",
    units,
  };
}
