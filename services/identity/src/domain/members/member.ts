/** A person's access to one account. */
export interface Member {
  /**
   * The person, the same in all accounts of an organization, and another in another organization: ids have their time
   * in them, so one of everybody's would tell who is known elsewhere.
   */
  readonly userId: string;
  readonly accountId: string;
  /** The address that was invited. */
  readonly email: string;
  /** Who the person is to the identity provider of the accepting side. */
  readonly subject: string;
  readonly roles: readonly string[];
  /** The personal keys that are not revoked. */
  readonly keyIds: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A membership as the audit shows it. */
export function auditedMember(member: Member): Record<string, unknown> {
  const { userId, accountId, email, subject, roles, keyIds } = member;
  return { userId, accountId, email, subject, roles, keyIds };
}
