import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import {
  type QueryUsageRequest,
  UsageService,
  Granularity as WireGranularity,
  GroupBy as WireGroupBy,
} from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { getStatement, type StatementDependencies } from "../domain/get-statement.ts";
import { exportUsage, queryUsage, type UsageDependencies, type UsageRow } from "../domain/query-usage.ts";
import { readCommit, readRelease } from "../domain/read-settlement.ts";
import { type ReportDependencies, reportUsage } from "../domain/report-usage.ts";
import { type ReservationDependencies, settleReservation } from "../domain/settle-reservation.ts";
import type { UsageDraft } from "../domain/usage-query.ts";
import { nodeName } from "./limit-wire.ts";
import { draftsOf, reportMessage } from "./report-wire.ts";
import { chargesOf, costsOf } from "./reservation-wire.ts";
import { statementMessage } from "./statement-wire.ts";
import { csvHeader, csvWriter } from "./usage-csv.ts";

const granularities = ["MINUTE", "HOUR", "DAY", "MONTH"] as const;
const groups = ["ACCOUNT", "KEY", "METER", "RESOURCE", "OUTCOME"] as const;

export function usageRoute(
  dependencies: UsageDependencies,
  reservations: ReservationDependencies,
  reports: ReportDependencies,
  statements: StatementDependencies,
): Route<Principal> {
  return route<typeof UsageService, Principal>(UsageService, {
    async reportUsage(request) {
      return reportMessage(request, await reportUsage(reports, request.source, draftsOf(request)));
    },

    async queryUsage(request, { principal }) {
      const { pageSize, pageToken } = request;
      const draft = { ...filterOf(request), pageSize, pageToken };
      const { rows, nextPageToken } = await queryUsage(dependencies, principal.view, draft);
      return { rows: rows.map(rowMessage), nextPageToken };
    },

    async *exportUsage(request, { principal, signal }) {
      const write = csvWriter(request.timeZone);
      let head = csvHeader;
      for await (const rows of exportUsage(dependencies, principal, filterOf(request))) {
        yield { csv: head + write(rows) };
        head = "";
        if (signal.aborted) return;
      }
      if (head !== "") yield { csv: head };
    },

    async getStatement({ start, end, ...request }, { principal }) {
      const draft = { ...request, startMs: start && timestampMs(start), endMs: end && timestampMs(end) };
      return { statement: statementMessage(await getStatement(statements, principal.view, draft)) };
    },

    async commitReservation(request, { principal }) {
      const settlement = await readCommit(dependencies.mirror, request);
      const settled = await settleReservation(reservations, principal.view, request.decisionId, settlement);
      const { cost, isPending: pending, charged } = settled;
      return { charges: chargesOf(cost), pending, cost: costsOf(charged) };
    },

    async releaseReservation(request, { principal }) {
      const settlement = readRelease(request);
      const settled = await settleReservation(reservations, principal.view, request.decisionId, settlement);
      return { pending: settled.isPending };
    },
  });
}

function filterOf(
  request: Omit<QueryUsageRequest, "$typeName" | "pageSize" | "pageToken">,
): Omit<UsageDraft, "pageSize" | "pageToken"> {
  const { descendants, timeZone, meter, start, end } = request;
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
  };
}

function rowMessage({ startMs, meter, groups, units, cost, currency }: UsageRow) {
  return {
    start: timestampFromMs(startMs),
    accountId: groups.ACCOUNT ?? "",
    keyId: groups.KEY ?? "",
    meter,
    resource: groups.RESOURCE ?? "",
    outcome: groups.OUTCOME ?? "",
    units,
    cost,
    currency,
  };
}
