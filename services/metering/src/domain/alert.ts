import type { WindowKind } from "@gatehouse/buckets";
import type { NodeRef } from "./limit.ts";

/** Windows that units used and money spent are summed over. */
export const ALERT_WINDOWS = ["HOUR", "DAY", "WEEK", "MONTH"] as const satisfies WindowKind[];

interface Windowed {
  readonly window: (typeof ALERT_WINDOWS)[number];
  readonly timeZone: string;
  readonly descendants: boolean;
  readonly amount: number;
}

/** What is watched, and the threshold. Amounts are safe integers, those of money micros. */
export type AlertSubject =
  | {
      readonly kind: "LIMIT";
      readonly limitId: string;
      /** A share of the limit's units, in millionths, or units. */
      readonly threshold: { readonly shareMillionths: number } | { readonly amount: number };
    }
  | ({ readonly kind: "USAGE"; readonly meter: string } & Windowed)
  | ({ readonly kind: "SPEND"; readonly currency: string } & Windowed)
  | { readonly kind: "BALANCE"; readonly currency: string; readonly amount: number };

/** At or above the threshold, or below it having been there. */
export type AlertDirection = "RISING" | "FALLING";

/** What an alert says, apart from where it is. */
export interface AlertTerms {
  /** Empty, or unique on the node. */
  readonly name: string;
  readonly subject: AlertSubject;
  readonly direction: AlertDirection;
  /** Empty for the bus only. */
  readonly webhookUrl: string;
}

export interface Alert extends AlertTerms {
  readonly id: string;
  readonly node: NodeRef;
  /** The node's account, or the node. */
  readonly accountId: string;
  readonly createdAtMs: number;
  readonly toldAtMs: number | undefined;
}

/** On an account, with its keys: each is looked at whenever what it watches moves. */
export const MAX_ALERTS = 100;

/** Whether two alerts of one node say the same. */
export function sameTerms(one: AlertTerms, other: AlertTerms): boolean {
  return shapeOf(one) === shapeOf(other);
}

function shapeOf({ subject, direction, webhookUrl }: AlertTerms): string {
  return JSON.stringify([Object.entries(subject).sort(), direction, webhookUrl]);
}
