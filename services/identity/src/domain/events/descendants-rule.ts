import type { Principal } from "@gatehouse/access";
import { denied } from "@gatehouse/service/failure";
import type { Webhook } from "./webhook.ts";

/**
 * Throws Failure KEY_KIND_DENIED where a webhook gets events of the accounts below and the caller is no master key:
 * nobody hears by a webhook what the audit would not tell them.
 */
export function requireReachOf(actor: Principal, { descendants }: Pick<Webhook, "descendants">): void {
  if (!descendants || actor.view.key.kind === "MASTER") return;
  throw denied("KEY_KIND_DENIED", "only a master key has to do with events of the accounts below");
}
