import { Window } from "@gatehouse/proto/metering";
import { METER_PATTERN, ReplayError } from "./trace.ts";

/** A limit that the operator asks for. */
export interface LimitWish {
  /** `org`, `*` for every subaccount of the run, or the slug of one. */
  readonly account: string;
  readonly meter: string;
  readonly resource: string;
  readonly allowance:
    | {
        readonly kind: "quota";
        readonly units: bigint;
        readonly window: WindowName;
        readonly timeZone: string;
      }
    | {
        readonly kind: "rate";
        readonly units: bigint;
        readonly intervalMs: number;
        readonly burst: bigint | undefined;
      };
  readonly enforcement: "ENFORCE" | "WARN";
}

export type WindowName = Exclude<keyof typeof Window, "UNSPECIFIED">;

export const WINDOWS = Object.keys(Window).filter(
  (name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED",
) as WindowName[];

/** Reads `bytes=1000000000/month`. */
export function parseQuotaFlag(account: string, flag: string, text: string): LimitWish {
  const [, meter = "", units = "", window = ""] = /^([^=]+)=([\d_]{1,20})\/(\w+)$/.exec(text) ?? [];
  const name = window.toUpperCase() as WindowName;
  const count = Number(units.replaceAll("_", ""));
  if (!METER_PATTERN.test(meter) || !WINDOWS.includes(name) || !Number.isSafeInteger(count)) {
    throw new ReplayError(`${flag} ${text}: must be METER=UNITS/WINDOW, as in bytes=1000000000/month`);
  }
  const allowance = { kind: "quota", units: BigInt(count), window: name, timeZone: "UTC" } as const;
  return { account, meter, resource: "", allowance, enforcement: "ENFORCE" };
}
