import type { AuditEvent } from "./audit.ts";
import type { DomainEvent, EventType } from "./event.ts";

/** What listeners are told of a change that was made: nothing of most definitions, two events where two things came. */
export function eventsOfChange(change: AuditEvent): DomainEvent[] {
  if (change.outcome !== "OK") return [];
  return (TOLD[change.action]?.(change) ?? []).map(({ type, subject = change.target, data }) => ({
    type,
    at: change.at,
    accountPath: change.accountPath,
    subject,
    data,
  }));
}

interface Told {
  readonly type: EventType;
  /** Default: what was changed. */
  readonly subject?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const accountIs = (type: EventType) => (change: AuditEvent) => [{ type, data: accountData(change) }];
const keyIs = (type: EventType) => (change: AuditEvent) => [{ type, data: keyData(change.after) }];

const TOLD: Readonly<Record<string, (change: AuditEvent) => Told[]>> = {
  "gatehouse.accounts.create": (change) => {
    const { account, firstKey } = recordOf(change.after);
    return [
      { type: "account.created", data: accountData({ ...change, after: account }) },
      { type: "key.created", subject: String(recordOf(firstKey).id), data: keyData(firstKey) },
    ];
  },
  "gatehouse.accounts.update": accountIs("account.updated"),
  "gatehouse.accounts.rename": accountIs("account.updated"),
  "gatehouse.accounts.set-scope-ceiling": accountIs("account.updated"),
  "gatehouse.accounts.enable-type": accountIs("account.updated"),
  "gatehouse.accounts.disable-type": accountIs("account.updated"),
  "gatehouse.accounts.update-settings": accountIs("account.updated"),
  "gatehouse.accounts.set-upstream-credential": accountIs("account.updated"),
  "gatehouse.accounts.suspend": accountIs("account.suspended"),
  "gatehouse.accounts.resume": accountIs("account.resumed"),
  "gatehouse.accounts.close": accountIs("account.closed"),
  "gatehouse.keys.create": keyIs("key.created"),
  "gatehouse.keys.import": keyIs("key.imported"),
  "gatehouse.keys.update": (change) => [
    { type: "key.updated", data: { ...keyData(change.after), changed: changed(change) } },
  ],
  "gatehouse.keys.rotate": keyIs("key.rotated"),
  "gatehouse.keys.disable": keyIs("key.disabled"),
  "gatehouse.keys.enable": keyIs("key.enabled"),
  "gatehouse.keys.revoke": keyIs("key.revoked"),
  "gatehouse.keys.report-leak": ({ after }) => {
    const { source, policy } = recordOf(recordOf(after).leak);
    return [{ type: "key.leaked", data: { ...keyData(after), source, policy } }];
  },
  "gatehouse.members.invite": ({ after }) => [{ type: "member.invited", data: memberData(after) }],
  "gatehouse.members.accept": ({ after }) => {
    const { key } = recordOf(after);
    const joined: Told = { type: "member.joined", data: memberData(after) };
    if (key === undefined) return [joined];
    return [joined, { type: "key.created", subject: String(recordOf(key).id), data: keyData(key) }];
  },
  "gatehouse.members.remove": ({ before }) => [{ type: "member.removed", data: memberData(before) }],
  "gatehouse.terms.accept": ({ after }) => {
    const accepted = recordOf(after).terms;
    const { document, version } = recordOf(Array.isArray(accepted) ? accepted.at(-1) : undefined);
    return [{ type: "terms.accepted", data: { document, version } }];
  },
};

/** The actions that listeners are told of. */
export const TOLD_ACTIONS: readonly string[] = Object.keys(TOLD);

// What an event shows is listed here one by one: what the audit comes to show one day is no receiver's business yet.

function accountData(change: AuditEvent) {
  const { parentId, slug, name, type, status, suspensionReason, plan, labels } = recordOf(change.after);
  return {
    parent_id: parentId ?? "",
    slug,
    name,
    type,
    status,
    suspension_reason: suspensionReason,
    plan,
    labels,
    ...(change.before !== null && { changed: changed(change) }),
  };
}

/** A key as events show it. */
export function keyData(key: unknown): Readonly<Record<string, unknown>> {
  const { accountId, parentKeyId, kind, name, status, masked, labels, userId, expiresAtMs } = recordOf(key);
  return {
    account_id: accountId,
    parent_key_id: parentKeyId ?? "",
    kind,
    name,
    status,
    masked,
    labels,
    user_id: userId ?? "",
    expires_at: typeof expiresAtMs === "number" ? new Date(expiresAtMs).toISOString() : null,
  };
}

function memberData(member: unknown): Readonly<Record<string, unknown>> {
  const { userId, email, roles, keyIds } = recordOf(member);
  return { user_id: userId ?? "", email, roles, key_ids: keyIds ?? [] };
}

/** The names of what is another than before. */
function changed({ before, after }: AuditEvent): string[] {
  const was = recordOf(before);
  return Object.entries(recordOf(after))
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(was[name]))
    .map(([name]) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
