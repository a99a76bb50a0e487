import { type EntityManager, MoreThan } from "typeorm";
import type { Invitation } from "../domain/members/invitation.ts";
import type {
  InvitationFilter,
  InvitationInTree,
  InvitationReads,
  InvitationWrites,
} from "../domain/members/member-store.ts";
import type { Page } from "../domain/store.ts";
import { type AccountRow, chainOf } from "./account-row.ts";
import { type InvitationRow, invitationOf, invitationRow, invitationRows } from "./invitation-row.ts";

/** Invitations, read through one connection or transaction. */
export class InvitationReader implements InvitationReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(invitationId: string): Promise<InvitationInTree | undefined> {
    const [row] = await this.manager.query<{ invitation: InvitationRow; chain: AccountRow[] }[]>(
      `SELECT to_jsonb(i) AS invitation,
              (SELECT jsonb_agg(to_jsonb(c)) FROM account c WHERE c.id = ANY (a.path)) AS chain
       FROM invitation i JOIN account a ON a.id = i.account_id WHERE i.id = $1`,
      [invitationId],
    );
    return row && { invitation: invitationOf(row.invitation), chain: chainOf(row.chain)! };
  }

  async list({ accountId, status, at }: InvitationFilter, page: Page): Promise<Invitation[]> {
    const query = this.manager
      .createQueryBuilder(invitationRows, "i")
      .where("i.account_id = :accountId AND i.id > :after", { accountId, after: page.after })
      .orderBy("i.id")
      .limit(page.limit);
    if (status === "PENDING") query.andWhere("i.state = 'PENDING' AND i.expires_at > :at", { at });
    else if (status === "EXPIRED") query.andWhere("i.state = 'PENDING' AND i.expires_at <= :at", { at });
    else if (status !== undefined) query.andWhere("i.state = :status", { status });
    return (await query.getMany()).map(invitationOf);
  }
}

/** Invitations in a change. No follower knows them, so they are not on the change log. */
export class InvitationWriter extends InvitationReader implements InvitationWrites {
  async insert(invitation: Invitation): Promise<void> {
    await this.manager.insert(invitationRows, invitationRow(invitation));
  }

  async settle(invitationId: string, state: "ACCEPTED" | "REVOKED", at: Date): Promise<void> {
    await this.manager.update(
      invitationRows,
      { id: invitationId },
      { state, token_hash: "", updated_at: at },
    );
  }

  async revokeOf(keyId: string, at: Date): Promise<number> {
    const { affected } = await this.manager.update(
      invitationRows,
      { invited_by: keyId, state: "PENDING" },
      { state: "REVOKED", token_hash: "", updated_at: at },
    );
    return affected!;
  }

  countPending(accountId: string, at: Date): Promise<number> {
    return this.manager.countBy(invitationRows, {
      account_id: accountId,
      state: "PENDING",
      expires_at: MoreThan(at),
    });
  }
}
