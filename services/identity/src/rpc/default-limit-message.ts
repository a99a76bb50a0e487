import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AskedAllowance, WindowKind } from "@gatehouse/buckets";
import type { DefaultLimitSchema, DefaultLimit as WireLimit } from "@gatehouse/proto/identity";
import { Enforcement, type Quota, type Rate, Window } from "@gatehouse/proto/metering";
import type { DefaultLimit } from "../domain/definitions/definition.ts";

/** A limit of a plan as it was sent. Whether it is one is the domain's to say. */
export function defaultLimitOf({ meter, resource, allowance, enforcement }: WireLimit): DefaultLimit {
  return {
    meter: meter || "requests",
    resource,
    allowance: allowanceOf(allowance) as DefaultLimit["allowance"],
    enforcement: (Enforcement[enforcement || Enforcement.ENFORCE] ??
      "UNKNOWN") as DefaultLimit["enforcement"],
  };
}

export function defaultLimitMessage(limit: DefaultLimit): MessageInitShape<typeof DefaultLimitSchema> {
  const { meter, resource, allowance, enforcement } = limit;
  return { meter, resource, allowance: allowanceMessage(allowance), enforcement: Enforcement[enforcement] };
}

function allowanceOf(allowance: WireLimit["allowance"]): AskedAllowance | undefined {
  switch (allowance.case) {
    case "rate":
      return rateOf(allowance.value);
    case "quota":
      return quotaOf(allowance.value);
    default:
      return undefined;
  }
}

function rateOf({ units, interval, burst }: Rate): AskedAllowance {
  const intervalMs = interval === undefined ? 0 : durationMs(interval);
  return { kind: "RATE", units: Number(units), intervalMs, burst: Number(burst || units) };
}

function quotaOf({ units, window, timeZone, anchor }: Quota): AskedAllowance {
  const name = window === Window.UNSPECIFIED ? undefined : Window[window];
  return {
    kind: "QUOTA",
    units: Number(units),
    window: name as WindowKind | undefined,
    timeZone: timeZone || "UTC",
    ...(anchor !== undefined && { anchorMs: timestampMs(anchor) }),
  };
}

function allowanceMessage(allowance: DefaultLimit["allowance"]) {
  const units = BigInt(allowance.units);
  if (allowance.kind === "RATE") {
    const interval = durationFromMs(allowance.intervalMs);
    return { case: "rate" as const, value: { units, interval, burst: BigInt(allowance.burst) } };
  }
  const { window, timeZone, anchorMs } = allowance;
  const anchor = anchorMs === undefined ? {} : { anchor: timestampFromMs(anchorMs) };
  return { case: "quota" as const, value: { units, window: Window[window], timeZone, ...anchor } };
}
