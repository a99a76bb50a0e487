import type { Principal } from "@gatehouse/access";
import { busy, notFound } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import type { Attempt } from "../events/audit.ts";
import type { Key } from "../keys/key.ts";
import { requireMayManage } from "../keys/manage-key-rule.ts";
import { reliedOnBy, stillPermitted } from "../rules/actor.ts";
import { keepingManager, managerGates } from "../rules/provider-manager-rule.ts";
import type { Change, Committed } from "../store.ts";
import { membersGate } from "./invitation.ts";
import type { Member } from "./member.ts";

/** A membership behind its gates, with its living personal keys, and the caller as it is there. */
export interface MemberInChange {
  readonly caller: Principal;
  readonly member: Member;
  readonly keys: readonly Key[];
}

/** Each is an accept of a new invitation between two statements; two in a row never were seen. */
const MAX_RUNS = 4;

/**
 * Runs a change of a membership with the gates of its personal keys held exclusively: what such a key is doing goes
 * first, or finds itself changed. Which keys these are is read before their gates can be taken, and again behind the
 * gate of the members, which whoever adds one holds; where one came in between, it begins anew.
 */
export async function changeMember<T>(
  domain: Domain,
  attempt: Attempt & { readonly actor: Principal },
  { chain, userId }: { readonly chain: Chain; readonly userId: string },
  work: (change: Change, found: MemberInChange) => Promise<T>,
): Promise<Committed<T>> {
  const [account] = chain;
  for (let run = 0; run < MAX_RUNS; run++) {
    const known = await domain.store.members.find(account.id, userId);
    if (known === undefined) throw notFound("member");
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(attempt.actor), ...account.path],
        changed: [membersGate(account.id), ...managerGates(account), ...known.keyIds],
      });
      const caller = await stillPermitted(domain, change, attempt, { chain });
      const member = await change.members.find(account.id, userId);
      if (member === undefined) throw notFound("member");
      if (!member.keyIds.every((keyId) => known.keyIds.includes(keyId))) return undefined;
      const keys = await personalKeys(change, member);
      const found = { caller, member, keys };
      return { made: await keepingManager(change, account, domain.nowMs(), () => work(change, found)) };
    });
    if (value !== undefined) return { value: value.made, freshness };
  }
  throw busy("the member's keys keep changing");
}

/** Throws Failure KEY_KIND_DENIED where a master key is changed by any other. */
export function requireMayChange({ caller, keys }: MemberInChange): void {
  for (const key of keys) requireMayManage(caller, key);
}

async function personalKeys(change: Change, { keyIds }: Member): Promise<Key[]> {
  const keys: Key[] = [];
  for (const keyId of keyIds) keys.push((await change.keys.find(keyId))!.key);
  return keys;
}
