import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import { accessGuard } from "@gatehouse/access/guard";
import { hashSecret, KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { access, Caller } from "@gatehouse/proto/common";
import * as identity from "@gatehouse/proto/identity";
import { HoldingService } from "@gatehouse/proto/metering";
import { createLog, route, serve } from "@gatehouse/service";
import { afterAll, beforeAll, expect, it } from "vitest";
import { EVENT_TYPES } from "../src/domain/events/event.ts";
import { TOLD_ACTIONS } from "../src/domain/events/event-of-change.ts";
import { type System, startSystem } from "./system.ts";

let system: System;
let metering: Awaited<ReturnType<typeof serve>>;

beforeAll(async () => {
  system = await startSystem({ meteringAddress: () => metering.grpcAddress });
  metering = await startEmptyMetering(system.environment.GATEHOUSE_SERVICE_SECRET!);
});
afterAll(async () => {
  await system?.stop();
  await metering?.close();
});

/** What the answers of earlier steps held: ids and tokens by name. */
type Found = Record<string, string>;

/** One call of the run: by whom (the root where not said), and what is kept of its answer. */
interface Step {
  readonly rpc: string;
  readonly body: (found: Found) => object;
  readonly as?: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every RPC, as JSON
  readonly keep?: (answer: any) => Found;
}

const step = (rpc: string, body: Step["body"], more: Omit<Step, "rpc" | "body"> = {}): Step => ({
  rpc,
  body,
  ...more,
});

const UPSTREAM = "an upstream credential of a test";

/** A run that does everything, each RPC that changes anything at least once. A new one gets its row here. */
const EVERYTHING: readonly Step[] = [
  step("PlanService/CreatePlan", () => ({ name: "big" })),
  step("PlanService/UpdatePlan", () => ({ plan: "big", title: "Big" })),
  step("PlanService/DeletePlan", () => ({ plan: "big" })),
  step("MeterService/CreateMeter", () => ({ name: "tokens" })),
  step("MeterService/UpdateMeter", () => ({ meter: "tokens", title: "Tokens" })),
  step("MeterService/DeleteMeter", () => ({ meter: "tokens" })),
  step("IntegrationService/CreateIntegration", () => ({ name: "zapier" })),
  step("IntegrationService/UpdateIntegration", () => ({ integration: "zapier", title: "Zapier" })),
  step("IntegrationService/DeleteIntegration", () => ({ integration: "zapier" })),
  step("CatalogService/CreateApi", () => ({
    name: "orders",
    endpoints: [{ name: "list", title: "List", method: "GET", path: "/orders", resource: "orders.read" }],
  })),
  step("CatalogService/UpdateApi", () => ({ api: "orders", title: "Orders" })),
  step("CatalogService/DeleteApi", () => ({ api: "orders" })),
  step("TypeService/CreateType", () => ({ name: "trader" })),
  step("TypeService/UpdateType", () => ({ type: "trader", title: "Trader" })),
  step("TermsService/CreateTerms", () => ({ document: "terms", version: "1", gates: ["no.such.thing"] })),
  step("TermsService/UpdateTerms", () => ({ document: "terms", title: "Terms" })),

  step("AccountService/CreateAccount", () => ({ name: "Everything" }), {
    keep: ({ account, key, secret }) => ({ organization: account.id, master: key.id, credential: secret }),
  }),
  step("AccountService/AcceptTerms", () => ({ document: "terms", version: "1" }), { as: "credential" }),
  step("AccountService/CreateAccount", ({ organization }) => ({ parent: organization, name: "Lab" }), {
    keep: ({ account }) => ({ lab: account.id }),
  }),
  step("AccountService/UpdateAccount", ({ lab }) => ({ account: lab, labels: { a: "b" } })),
  step("AccountService/RenameAccount", ({ lab }) => ({ account: lab, name: "Laboratory" })),
  step("AccountService/SetScopeCeiling", ({ lab }) => ({ account: lab, scopes: ["**"] })),
  step("AccountService/EnableType", ({ lab }) => ({ account: lab, type: "trader" })),
  step("AccountService/DisableType", ({ lab }) => ({ account: lab, type: "trader" })),
  step("AccountService/UpdateSettings", ({ lab }) => ({ account: lab, leakPolicy: "LEAK_POLICY_DISABLE" })),
  step("AccountService/UpdateSettings", ({ root }) => ({ account: root, importPrefixes: ["old_"] })),
  step("AccountService/SetUpstreamCredential", ({ lab }) => ({
    account: lab,
    header: "x-up-key",
    value: UPSTREAM,
  })),

  step("RoleService/CreateRole", ({ lab }) => ({ account: lab, name: "reader", scopes: ["orders.read"] })),
  step("RoleService/UpdateRole", ({ lab }) => ({ account: lab, role: "reader", title: "Reader" })),
  step("RoleService/DeleteRole", ({ lab }) => ({ account: lab, role: "reader" })),

  step("KeyService/CreateKey", ({ lab }) => ({ account: lab, name: "bot" }), {
    keep: ({ key }) => ({ key: key.id }),
  }),
  step("KeyService/UpdateKey", ({ key }) => ({ key, name: "robot" })),
  step("KeyService/RotateKey", ({ key }) => ({ key }), { keep: ({ secret }) => ({ leaked: secret }) }),
  step("KeyService/DisableKey", ({ key }) => ({ key })),
  step("KeyService/EnableKey", ({ key }) => ({ key })),
  step("KeyService/ReportLeak", ({ leaked }) => ({ secrets: [leaked], source: "a public repository" })),
  step("KeyService/RevokeKey", ({ key }) => ({ key })),
  step("KeyService/ImportKeys", ({ lab }) => ({
    account: lab,
    keys: [{ hash: hashSecret("old_credential"), prefix: "old_", name: "imported" }],
  })),

  step("MemberService/Invite", ({ lab }) => ({ account: lab, email: "a@example.com", roles: ["auditor"] }), {
    keep: ({ invitation }) => ({ invitation: invitation.id }),
  }),
  step("MemberService/RevokeInvitation", ({ invitation }) => ({ invitation })),
  step("MemberService/Invite", ({ lab }) => ({ account: lab, email: "b@example.com", roles: ["auditor"] }), {
    keep: ({ token }) => ({ token }),
  }),
  step("MemberService/AcceptInvitation", ({ token }) => ({ token, subject: "b" }), {
    keep: ({ member }) => ({ user: member.userId ?? member.user ?? member.id }),
  }),
  step("MemberService/UpdateMemberRoles", ({ lab, user }) => ({ account: lab, user, roles: ["developer"] })),
  step("MemberService/RemoveMember", ({ lab, user }) => ({ account: lab, user })),

  step("WebhookService/CreateWebhook", ({ lab }) => ({
    account: lab,
    name: "hook",
    url: "https://example.com/",
  })),
  step("WebhookService/UpdateWebhook", ({ lab }) => ({ account: lab, webhook: "hook", paused: true })),
  step("WebhookService/RedeliverEvents", ({ lab }) => ({ account: lab, webhook: "hook" })),
  step("WebhookService/DeleteWebhook", ({ lab }) => ({ account: lab, webhook: "hook" })),

  step("AccountService/SuspendAccount", ({ lab }) => ({ account: lab, reason: "ABUSE" })),
  step("AccountService/ResumeAccount", ({ lab }) => ({ account: lab })),
  step("AccountService/CloseAccount", ({ lab }) => ({ account: lab })),
  step("TermsService/DeleteTerms", () => ({ document: "terms" })),
  step("TypeService/DeleteType", () => ({ type: "trader" })),
];

/** The action of what takes no scope; the others' is their scope. */
const ACTIONS: Readonly<Record<string, string>> = {
  "MemberService/AcceptInvitation": "gatehouse.members.accept",
};

/** Every RPC of identity that a key, or anyone, changes something with, and the action that it is audited as. */
function mutations(): Map<string, string> {
  const generated: readonly unknown[] = Object.values(identity);
  const services = generated.filter(
    (each): each is DescService => (each as { kind?: string }).kind === "service",
  );
  const methods = services.flatMap((service) => service.methods.map((method) => [service, method] as const));
  return new Map(
    methods.flatMap(([service, method]) => {
      const rpc = `${service.name}/${method.name}`;
      const action = ACTIONS[rpc] ?? scopeOf(method);
      return action === "" || action.endsWith(".read") ? [] : [[rpc, action] as const];
    }),
  );
}

function scopeOf(method: DescMethod): string {
  const { caller, scope } = getOption(method, access);
  return caller === Caller.SERVICE ? "" : scope;
}

it("every RPC that changes something has a row in the run that does everything", () => {
  const done = new Set(EVERYTHING.map(({ rpc }) => rpc));
  const all = [...mutations().keys()];
  expect(all.length).toBeGreaterThan(40);
  expect(all.filter((rpc) => !done.has(rpc))).toEqual([]);
});

it("each call of the run answers how fresh it is, and leaves an event of its own, told and without a secret", async () => {
  const actions = mutations();
  const { rows: roots } = await system.sql.query("SELECT id FROM account WHERE parent_id IS NULL");
  const found: Found = { root: roots[0].id };
  const everything = { name: "everything", url: "https://example.com/" };
  await system.json(system.rootKey, "WebhookService/CreateWebhook", everything);
  await system.sql.query("UPDATE webhook SET paused = true");
  const unaudited: string[] = [];
  const secrets = new Set([UPSTREAM, "old_credential"]);
  for (const { rpc, body, as, keep } of EVERYTHING) {
    const before = await lastEvents();
    const key = as === undefined ? system.rootKey : found[as]!;
    const answer = await system.json(key, rpc, body(found));
    expect(answer, rpc).toMatchObject({ status: 200 });
    const { secret, token } = JSON.parse(answer.body) as { secret?: string; token?: string };
    for (const each of [secret, token]) if (each) secrets.add(each);
    expect(JSON.parse(answer.body), rpc).toHaveProperty("freshness", expect.stringMatching(/./));
    Object.assign(found, keep?.(JSON.parse(answer.body)));
    const events = (await lastEvents()).filter(({ id }) => !before.some((each) => each.id === id));
    const own = events.filter(({ action, outcome }) => action === actions.get(rpc) && outcome === "OK");
    expect(events.length, rpc).toBe(own.length);
    // Nothing was given up, so there is nothing to bring again.
    if (own.length === 0 && rpc !== "WebhookService/RedeliverEvents") unaudited.push(rpc);
  }
  expect(unaudited).toEqual([]);
  expect(secrets.size).toBeGreaterThan(8);
  const { rows: kept } = await system.sql.query<{ row: string }>(
    "SELECT a::text AS row FROM audit_event a UNION ALL SELECT d::text FROM delivery d",
  );
  for (const secret of secrets) {
    const traces = [secret, hashSecret(secret)].filter((each) => kept.some(({ row }) => row.includes(each)));
    expect(traces).toEqual([]);
  }
  const { rows: told } = await system.sql.query<{ type: string }>("SELECT DISTINCT type FROM delivery");
  const raisedByLoops = ["key.silent", "key.expiring"];
  expect([...told.map(({ type }) => type), ...raisedByLoops].sort()).toEqual([...EVENT_TYPES].sort());
});

it("what listeners are told of is what mutations are audited as", () => {
  const audited = new Set(mutations().values());
  expect(TOLD_ACTIONS.filter((action) => !audited.has(action))).toEqual([]);
});

async function lastEvents(): Promise<{ id: string; action: string; outcome: string }[]> {
  const { rows } = await system.sql.query("SELECT id, action, outcome FROM audit_event");
  return rows;
}

/** metering that holds nothing for anybody, so that accounts can be closed. */
function startEmptyMetering(serviceSecret: string): ReturnType<typeof serve> {
  const anyPort = { host: "127.0.0.1", port: 0 };
  const format = new KeyFormat({ peppers: [parsePepper(newPepper("a"))] });
  return serve({
    grpc: anyPort,
    http: anyPort,
    log: createLog({ name: "empty metering", level: "silent" }),
    guard: accessGuard({ directory: { findKey: () => undefined }, format, serviceSecret }),
    routes: [
      route<typeof HoldingService, unknown>(HoldingService, {
        getHoldings: async () => ({ holdings: [] }),
        moveMoney: async () => ({}),
      }) as never,
    ],
  });
}
