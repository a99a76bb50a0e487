import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { denied, Failure } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, auditedAccount, done } from "../events/audit.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import type { Change } from "../store.ts";
import type { Account, Chain } from "./account.ts";

export interface ChangedAccount {
  readonly account: Account;
  readonly freshness: string;
}

/** One account's change: who may make it, and what it makes of the account. */
export interface AccountChange {
  /** The scope that it takes. */
  readonly action: string;
  /** As the caller named it; undefined for its own account. */
  readonly name: string | undefined;
  /** The account that changes, with those above it, where that is not the one that was named. */
  readonly targetOf?: (named: Chain) => Chain;
  /** Throws Failure INVALID_ARGUMENT, where that was not done before. */
  readonly check?: () => Promise<void>;
  /** Throws where the caller may not. Facts that never change decide here, so it runs ahead of the gates. */
  readonly permit?: (target: Chain) => void;
  /** Gates that it relies on besides the account's and those of the accounts above. */
  readonly reliesOn?: readonly string[];
  /** Runs between the two, with nothing held: for what another service has to say. */
  readonly ask?: (target: Chain) => Promise<void>;
  /** Closed is final; set by what is to answer for closed accounts nevertheless. */
  readonly evenClosed?: boolean;
  /**
   * What the account is to be, decided behind the gates. The same object where it is so already: then nothing is
   * written. Whatever else it writes belongs to the same transaction.
   */
  readonly become: (target: Chain, change: Change, at: Date) => Account | Promise<Account>;
  /** Runs after that: what it takes from accounts below as well. How many of them, by the name that is on record. */
  readonly below?: {
    readonly recordAs: string;
    take(target: Chain, change: Change, at: Date): Promise<number>;
  };
}

/** Makes a change of one account: found in reach, gated, audited, put on the change log. */
export function changeAccount(
  domain: Domain,
  actor: Principal,
  wanted: AccountChange,
): Promise<ChangedAccount> {
  const { action, name, targetOf = (named) => named, reliesOn = [], evenClosed = false } = wanted;
  const attempt = { actor, action, target: name ?? actor.view.key.accountId };
  return audited(domain, attempt, async () => {
    await wanted.check?.();
    requireManager(actor);
    const target = targetOf(await findAccount(domain.store, actor, name));
    wanted.permit?.(target);
    await wanted.ask?.(target);
    const [{ id, path }] = target;
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...path.slice(0, -1), ...reliesOn],
        changed: [id],
      });
      await stillPermitted(domain, change, attempt, { chain: target });
      const chain = (await change.accounts.find(id))!;
      if (!evenClosed) requireNotClosed(chain);
      const [before] = chain;
      const at = new Date(domain.nowMs());
      const after = await wanted.become(chain, change, at);
      const below = (await wanted.below?.take(chain, change, at)) ?? 0;
      if (after === before && below === 0) return before;
      const account: Account = { ...after, updatedAt: at };
      await change.accounts.update(before, account);
      const alsoBelow = below === 0 ? {} : { [wanted.below!.recordAs]: below };
      const shown = { before: auditedAccount(before), after: { ...auditedAccount(account), ...alsoBelow } };
      await change.audit(done(attempt, at, { target: id, account, ...shown }));
      return account;
    });
    return { account: value, freshness };
  });
}

/** For what is an account's ceiling: throws Failure OWN_CEILING where the caller is not strictly above. */
export function requireStrictAncestor(actor: Principal, target: Chain, what: string): void {
  // In reach and not strictly below the caller: it is the caller's own account.
  if (isStrictAncestor(actor.view, target)) return;
  throw denied("OWN_CEILING", `only an account above may ${what}`);
}

/** Throws Failure PLAN_LIMIT where an account has as many of something as an account may have. */
export function requireAtMost(count: number, maximum: number, account: Account, what: string): void {
  if (count <= maximum) return;
  const description = `an account has at most ${maximum} ${what}`;
  const quota = [{ subject: `account:${account.id}`, description }];
  throw new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message: description, quota });
}
