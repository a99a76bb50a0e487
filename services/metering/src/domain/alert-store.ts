import type { Delivery, DeliveryStatus } from "@gatehouse/events/webhook";
import type { Actor } from "./actor.ts";
import type { Alert, AlertTerms } from "./alert.ts";
import type { NodeRef } from "./limit.ts";

/** An alert that is to be. */
export interface NewAlert extends AlertTerms {
  readonly id: string;
  readonly node: NodeRef;
  readonly accountId: string;
  /** What deliveries to its webhook are signed with; empty without one. */
  readonly sealedSecret: string;
}

export interface AlertStore {
  /**
   * Inserts an alert and has it looked at. Answers the alert of that name where the node has one, and undefined where
   * the account has `most` already.
   */
  insert(
    alert: NewAlert,
    most: number,
    actor: Actor,
  ): Promise<{ readonly alert: Alert; readonly isNew: boolean } | undefined>;
  find(alertId: string): Promise<Alert | undefined>;
  /** The alerts of a node, oldest first, after the one with the id `afterId`. */
  list(nodeId: string, afterId: string, count: number): Promise<readonly Alert[]>;
  /** Answers whether there was one. */
  delete(alert: Alert, actor: Actor): Promise<boolean>;
  /** What was sent to its webhook, or is to be, oldest first, after the event `afterId`. */
  deliveries(
    alert: Alert,
    status: DeliveryStatus | undefined,
    afterId: string,
    count: number,
  ): Promise<readonly Delivery[]>;
  /** Lets dead deliveries go again: those named, or all, but at most `most`. Answers how many. */
  redeliver(alert: Alert, eventIds: readonly string[], most: number, actor: Actor): Promise<number>;
}
