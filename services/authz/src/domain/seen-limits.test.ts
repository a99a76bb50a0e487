import { expect, it } from "vitest";
import type { Decision } from "./decision.ts";
import { seenBy } from "./seen-limits.ts";
import { keyed, TestVerifier } from "./verify.fixture.ts";

it("a verifier is shown the limits of its own account and below, and none above", async () => {
  const authz = new TestVerifier();
  authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
  const parent = authz.key("acc_sub");
  const sub = authz.key("acc_sub", { kind: "SUB", parentKeyId: parent.id });
  const decision = await authz.verify(sub);
  const limitOn = (nodeId: string) => ({ id: `lim_${nodeId}`, nodeId }) as const;
  const bucket = (id: string) => ({ limit: limitOn(id.slice(4)) });
  const shown = (account: string, on: string) => {
    const binding = { limit: limitOn(on), remaining: 7, resetsAtMs: undefined };
    const whole = { ...decision, binding, warnings: [`lim_${on}`] } as unknown as Decision;
    const seen = seenBy(keyed(authz, authz.key(account)), whole, { bucket } as never) as Decision;
    expect(seen.binding === undefined).toBe(seen.warnings.length === 0);
    return seen === whole || seen.binding !== undefined;
  };
  const nodes = [sub.id, parent.id, "acc_sub", "acc_org", "acc_root"];
  const seen = (account: string) => nodes.filter((on) => shown(account, on));
  expect(seen("acc_sub")).toEqual([sub.id, parent.id, "acc_sub"]);
  expect(seen("acc_org")).toEqual([sub.id, parent.id, "acc_sub", "acc_org"]);
  expect(seen("acc_root")).toEqual(nodes);
});
