import { BUS_PAYLOAD_BYTES_MAX, type Bus } from "@gatehouse/service";

/** Something that happened, as its listeners are told of it. */
export interface ToldEvent {
  readonly id: string;
  readonly type: string;
  readonly at: Date;
  /** The account that it concerns, after those above it: root first. */
  readonly accountPath: readonly string[];
  /** The id of what it happened to. */
  readonly subject: string;
  /** Sent as it is, so its names are in snake_case; no secret, no hash, no sealed value. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** An event as it leaves: the same text for every webhook, and for the bus. */
export interface OutgoingEvent {
  readonly id: string;
  readonly type: string;
  /** Of the organization that it concerns; undefined for the provider's own. */
  readonly organizationId: string | undefined;
  readonly body: string;
}

export function outgoingOf({ id, type, at, accountPath, subject, data }: ToldEvent): OutgoingEvent {
  const [, organizationId] = accountPath;
  const body = {
    id,
    type,
    at: at.toISOString(),
    account_id: accountPath.at(-1) ?? "",
    organization_id: organizationId ?? "",
    subject,
    data,
  };
  return { id, type, organizationId, body: JSON.stringify(body) };
}

/** Tells the bus of events, after their commit: it hastens, and the webhooks are what is sure. */
export function publishEvents(bus: Bus, events: readonly OutgoingEvent[]): void {
  for (const { type, organizationId, body } of events) {
    // Larger than a bell may be; webhooks take it all the same.
    if (Buffer.byteLength(body) > BUS_PAYLOAD_BYTES_MAX) continue;
    bus.publish(`gatehouse.event.${organizationId ?? "provider"}.${type}`, Buffer.from(body));
  }
}
