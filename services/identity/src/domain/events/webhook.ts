import { auditedUrl } from "@gatehouse/events/webhook";

/** A place that an account has its events sent to. */
export interface Webhook {
  readonly accountId: string;
  /** Unique in the account. */
  readonly name: string;
  readonly url: string;
  /** Patterns of event types; none for all. */
  readonly events: readonly string[];
  /** Deliveries wait. */
  readonly paused: boolean;
  /** Events of the accounts below too; only master keys have to do with such a webhook. */
  readonly descendants: boolean;
  /** What deliveries are signed with, sealed for `secretContext`. */
  readonly sealedSecret: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Of an account. */
export const MAX_WEBHOOKS = 20;

/** A webhook as the audit shows it. */
export function auditedWebhook({ accountId, name, url, events, paused, descendants }: Webhook): unknown {
  return { accountId, name, url: auditedUrl(url), events, paused, descendants };
}
