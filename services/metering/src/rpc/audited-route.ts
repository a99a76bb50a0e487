import { type AuditAttempt, isRefusal, type Principal } from "@gatehouse/access";
import { changesSomething } from "@gatehouse/access/audited-guard";
import { type Access, Caller } from "@gatehouse/proto/common";
import { accessRule, type Route } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";

type RecordRefusal = (attempt: AuditAttempt, refusal: Failure) => Promise<void>;

/** What requests name by id or name, the first of them being what the RPC is about. */
const NAMING = ["limit", "alert", "node", "account", "from", "meter"];

/** A route whose refusals of changes are on record before their callers hear of them. */
export function auditedRoute(route: Route<Principal>, record: RecordRefusal): Route<Principal> {
  const handlers = { ...route.handlers };
  for (const method of route.service.methods) {
    const rule = accessRule(method);
    if (!isAudited(rule)) continue;
    const handle = route.handlers[method.localName]!.bind(route.handlers);
    handlers[method.localName] = async (request, call) => {
      try {
        return await handle(request, call);
      } catch (error) {
        if (error instanceof Failure && isRefusal(error)) {
          const { principal: actor } = call;
          await record({ actor, action: rule.scope, target: targetOf(request) }, error);
        }
        throw error;
      }
    };
  }
  return { ...route, handlers };
}

/** What a verifier's key does is usage, and no change: as many as there are calls. */
export function isAudited(rule: Access): boolean {
  const isOfKey = rule.caller === Caller.KEY || rule.caller === Caller.PROVIDER;
  return isOfKey && changesSomething(rule) && rule.scope !== "gatehouse.verify";
}

function targetOf(request: Readonly<Record<string, unknown>>): string {
  for (const name of NAMING) {
    const named = name === "node" ? (request.node as { value?: unknown } | undefined)?.value : request[name];
    if (typeof named === "string" && named !== "") return named;
  }
  return "";
}
