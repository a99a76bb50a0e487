/** Everything that an integrator is told of. docs/events.md says when, and what their data is. */
export const EVENT_TYPES = [
  "account.created",
  "account.updated",
  "account.suspended",
  "account.resumed",
  "account.closed",
  "key.created",
  "key.imported",
  "key.updated",
  "key.rotated",
  "key.disabled",
  "key.enabled",
  "key.revoked",
  "key.leaked",
  "key.expiring",
  "key.silent",
  "member.invited",
  "member.joined",
  "member.removed",
  "terms.accepted",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Something that happened and that those who listen are told of. */
export interface DomainEvent {
  readonly type: EventType;
  readonly at: Date;
  /** The account that it concerns, after those above it: root first. All of them may listen. */
  readonly accountPath: readonly string[];
  /** The id of what it happened to. */
  readonly subject: string;
  /** Sent as it is, so its names are in snake_case; no secret, no hash, no sealed value. */
  readonly data: Readonly<Record<string, unknown>>;
}
