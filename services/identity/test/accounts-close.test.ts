import { accessGuard } from "@gatehouse/access/guard";
import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { AccountStatus, KeyKind } from "@gatehouse/proto/identity";
import { HoldingService } from "@gatehouse/proto/metering";
import { createLog, route, serve } from "@gatehouse/service";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

/** metering as identity sees it. */
interface FakeMetering {
  readonly address: string;
  /** What it holds, by account. */
  readonly held: Map<string, { currency?: string; amount: bigint; decisionId?: string }>;
  readonly asked: string[];
  readonly moved: { accountId: string; toAccountId: string; actorKeyId: string }[];
  close(): Promise<void>;
}

let system: System;
let metering: FakeMetering;
let meteringAddress: string | undefined;

beforeAll(async () => {
  system = await startSystem({
    plan: { ...DEFAULT_PLAN, depth: 3, accounts: 4 },
    meteringAddress: () => meteringAddress,
  });
  metering = await startFakeMetering(system.environment.GATEHOUSE_SERVICE_SECRET!);
});
afterAll(async () => {
  await system?.stop();
  await metering?.close();
});
beforeEach(() => {
  meteringAddress = metering.address;
  metering.held.clear();
});

async function startFakeMetering(serviceSecret: string): Promise<FakeMetering> {
  const held: FakeMetering["held"] = new Map();
  const asked: string[] = [];
  const moved: FakeMetering["moved"] = [];
  const anyPort = { host: "127.0.0.1", port: 0 };
  const format = new KeyFormat({ peppers: [parsePepper(newPepper("a"))] });
  const server = await serve({
    grpc: anyPort,
    http: anyPort,
    log: createLog({ name: "fake metering", level: "silent" }),
    guard: accessGuard({ directory: { findKey: () => undefined }, format, serviceSecret }),
    routes: [
      route<typeof HoldingService, unknown>(HoldingService, {
        async getHoldings({ accountId }) {
          asked.push(accountId);
          const mine = held.get(accountId);
          return { holdings: mine === undefined ? [] : [{ accountId, ...mine }] };
        },
        async moveMoney({ accountId, toAccountId, actorKeyId }) {
          moved.push({ accountId, toAccountId, actorKeyId });
          held.delete(accountId);
          return {};
        },
      }) as never,
    ],
  });
  return { address: server.grpcAddress, held, asked, moved, close: () => server.close() };
}

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { ...made, id: made.account!.id, master: system.as(made.secret) };
}

describe("closing an account", () => {
  it("leaves its keys, members and webhooks to be stopped, and to nothing else", async () => {
    const { master } = await organization("Stopping");
    await master.accounts.createAccount({ name: "team" }, timely);
    await master.accounts.createAccount({ name: "desk", parent: "team" }, timely);
    const account = "desk";
    const keyOf = async (name: string) => (await master.keys.createKey({ account, name }, timely)).key!.id;
    const [key, disabled] = [await keyOf("working"), await keyOf("disabled")];
    await master.keys.disableKey({ key: disabled }, timely);
    await master.webhooks.createWebhook({ account, name: "hook", url: "https://example.com/" }, timely);
    const invite = { account, email: "a@example.com", roles: ["auditor"] };
    const { token } = await master.members.invite(invite, timely);
    const { member } = await master.members.acceptInvitation({ token, subject: "a" }, timely);
    const { invitation } = await master.members.invite(invite, timely);
    const user = member!.userId;
    await master.accounts.closeAccount({ account: "team" }, timely);

    const changes = await Promise.all([
      reasonOf(master.keys.enableKey({ key: disabled }, timely)),
      reasonOf(master.keys.rotateKey({ key }, timely)),
      reasonOf(master.keys.updateKey({ key, name: "renamed" }, timely)),
      reasonOf(master.webhooks.updateWebhook({ account, webhook: "hook", paused: true }, timely)),
      reasonOf(master.members.updateMemberRoles({ account, user, roles: ["developer"] }, timely)),
    ]);
    expect(changes).toEqual(changes.map(() => "FINAL_STATE"));
    const stops = [
      await reasonOf(master.keys.disableKey({ key }, timely)),
      await reasonOf(master.keys.revokeKey({ key }, timely)),
      await reasonOf(master.members.revokeInvitation({ invitation: invitation!.id }, timely)),
      await reasonOf(master.members.removeMember({ account, user }, timely)),
      await reasonOf(master.webhooks.deleteWebhook({ account, webhook: "hook" }, timely)),
    ];
    expect(stops).toEqual(stops.map(() => "OK"));
  });

  it("stops it and all below it for good, and leaves it to be read from above", async () => {
    const { id, master } = await organization("Closing");
    const child = await master.accounts.createAccount({ name: "child" }, timely);
    const grandchild = await master.accounts.createAccount({ name: "grand", parent: "child" }, timely);
    const closed = await system.root.accounts.closeAccount({ account: "closing/child" }, timely);
    expect(closed.account!.status).toBe(AccountStatus.CLOSED);
    expect(metering.asked).toContain(child.account!.id);
    for (const { secret } of [child, grandchild]) {
      expect(await reasonOf(system.as(secret).keys.whoAmI({}, timely))).toBe("ACCOUNT_CLOSED");
    }
    await master.keys.whoAmI({}, timely);
    expect((await master.accounts.getAccount({ account: "child" }, timely)).account!.status).toBe(
      AccountStatus.CLOSED,
    );
    expect((await master.keys.listKeys({ account: "child" }, timely)).keys).toHaveLength(1);
    const listed = await master.accounts.listAccounts({ status: AccountStatus.CLOSED }, timely);
    expect(listed.accounts.map(({ name }) => name)).toEqual(["child"]);

    // What is below it changes no more than it does itself, and nothing new comes below it.
    for (const account of ["child", "grand"]) {
      const changes = [
        master.accounts.resumeAccount({ account }, timely),
        master.accounts.suspendAccount({ account }, timely),
        master.accounts.updateAccount({ account, labels: { a: "b" } }, timely),
        master.accounts.renameAccount({ account, name: "other" }, timely),
        master.accounts.setScopeCeiling({ account, scopes: ["a.**"] }, timely),
      ];
      expect(await Promise.all(changes.map(reasonOf))).toEqual(changes.map(() => "FINAL_STATE"));
      const made = [
        master.accounts.createAccount({ name: "late", parent: account }, timely),
        master.keys.createKey({ name: "late", account }, timely),
      ];
      expect(await Promise.all(made.map(reasonOf))).toEqual(["ACCOUNT_INACTIVE", "ACCOUNT_INACTIVE"]);
    }
    // Its slug stays reserved.
    expect(await reasonOf(master.accounts.createAccount({ name: "x", slug: "child" }, timely))).toBe(
      "SLUG_TAKEN",
    );
    // Again is no change, and metering has no say in it.
    meteringAddress = undefined;
    const again = await master.accounts.closeAccount({ account: child.account!.id }, timely);
    expect(again.account).toEqual(closed.account);
    const events = await system.sql.query(
      "SELECT before->>'status' AS before, after->>'status' AS after FROM audit_event WHERE action = $1 AND target = $2",
      ["gatehouse.accounts.close", child.account!.id],
    );
    expect(events.rows).toEqual([{ before: "ACTIVE", after: "CLOSED" }]);
    expect(id).not.toBe(child.account!.id);
  });

  it("works from suspended, and nobody closes the account whose key they use", async () => {
    const { id, master } = await organization("Suspended");
    await system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely);
    expect(await reasonOf(master.accounts.closeAccount({ account: id }, timely))).toBe("ACCOUNT_SUSPENDED");
    await system.root.accounts.resumeAccount({ account: id }, timely);
    expect(await reasonOf(master.accounts.closeAccount({ account: id }, timely))).toBe("SELF_LOCKOUT");
    expect(await reasonOf(system.root.accounts.closeAccount({ account: "provider" }, timely))).toBe(
      "SELF_LOCKOUT",
    );
    await system.root.accounts.suspendAccount({ account: id, reason: "ABUSE" }, timely);
    const { account } = await system.root.accounts.closeAccount({ account: id }, timely);
    expect(account).toMatchObject({ status: AccountStatus.CLOSED, suspensionReason: "" });
    expect(await reasonOf(master.keys.whoAmI({}, timely))).toBe("ACCOUNT_CLOSED");
  });

  it("is refused while metering holds something for it", async () => {
    const { id, master } = await organization("Holding");
    metering.held.set(id, { currency: "EUR", amount: 2_500_000n });
    const failure = await system.root.accounts.closeAccount({ account: id }, timely).then(
      () => undefined,
      (error) => error,
    );
    expect(failure).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "ACCOUNT_HOLDS",
      metadata: { holdings: "1", account_id: id, currency: "EUR", amount: "2500000" },
    });
    metering.held.set(id, { amount: 3n, decisionId: "dec_1" });
    expect(await reasonOf(system.root.accounts.closeAccount({ account: id }, timely))).toBe("ACCOUNT_HOLDS");
    await master.keys.whoAmI({}, timely);
    metering.held.clear();
    expect(await reasonOf(system.root.accounts.closeAccount({ account: id }, timely))).toBe("OK");
  });

  it("moves the money first where it is told where to, on behalf of who closes", async () => {
    const { id, master } = await organization("Moving");
    const create = async (name: string, parent?: string) =>
      (await master.accounts.createAccount({ name, ...(parent !== undefined && { parent }) }, timely))
        .account!.id;
    const [closing, receiver] = [await create("closing"), await create("receiver")];
    const below = await create("below", "closing");
    metering.held.set(closing, { currency: "EUR", amount: 5n });
    const close = (to: string) =>
      reasonOf(master.accounts.closeAccount({ account: "closing", transferBalanceTo: to }, timely));
    const elsewhere = (await organization("Elsewhere")).id;
    for (const bad of [closing, below]) expect(await close(bad)).toBe("INVALID_FIELD");
    expect(await close(elsewhere)).toBe("NOT_FOUND");
    const foreign = { account: closing, transferBalanceTo: elsewhere };
    expect(await reasonOf(system.root.accounts.closeAccount(foreign, timely))).toBe("INVALID_FIELD");
    const administrator = await master.keys.createKey(
      { name: "admin", kind: KeyKind.MASTER, roles: ["administrator"] },
      timely,
    );
    const scopeless = system
      .as(administrator.secret)
      .accounts.closeAccount({ account: closing, transferBalanceTo: receiver }, timely);
    expect(await reasonOf(scopeless)).toBe("SCOPE_DENIED");
    expect(metering.moved).toEqual([]);
    expect(await close("receiver")).toBe("OK");
    const { key } = await master.keys.whoAmI({}, timely);
    expect(metering.moved).toEqual([{ accountId: closing, toAccountId: receiver, actorKeyId: key!.id }]);
    expect(await close("receiver")).toBe("OK");
    expect(metering.moved).toHaveLength(1);
    expect(id).not.toBe(closing);
  });

  it("is refused while metering cannot be asked", async () => {
    const { master } = await organization("Unasked");
    await master.accounts.createAccount({ name: "child" }, timely);
    const close = () => master.accounts.closeAccount({ account: "child" }, timely);
    meteringAddress = undefined;
    const unconfigured = await close().catch((error) => error);
    expect(unconfigured).toMatchObject({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE" });
    expect(unconfigured.message).toContain("GATEHOUSE_METERING_ADDRESS");

    const stopped = await startFakeMetering(system.environment.GATEHOUSE_SERVICE_SECRET!);
    await stopped.close();
    const stranger = await startFakeMetering("another service secret, which is long enough");
    try {
      for (const { address } of [stopped, stranger]) {
        const other = await startSystem({ meteringAddress: () => address });
        try {
          const { account } = await other.root.accounts.createAccount({ name: "kept" }, timely);
          const refused = other.root.accounts.closeAccount({ account: account!.id }, timely);
          expect(await refused.catch((error) => error)).toMatchObject({ code: "UNAVAILABLE" });
          const kept = await other.root.accounts.getAccount({ account: account!.id }, timely);
          expect(kept.account!.status).toBe(AccountStatus.ACTIVE);
        } finally {
          await other.stop();
        }
      }
    } finally {
      await stranger.close();
    }
    meteringAddress = metering.address;
    expect(await reasonOf(close())).toBe("OK");
  });

  it("frees the places in the plan of the account and of all below it", async () => {
    const { master } = await organization("Places");
    for (const [name, parent] of [
      ["a", ""],
      ["b", "a"],
      ["c", "b"],
      ["d", ""],
    ] as const) {
      await master.accounts.createAccount({ name, parent }, timely);
    }
    const full = () => reasonOf(master.accounts.createAccount({ name: "e" }, timely));
    expect(await full()).toBe("PLAN_LIMIT");
    const used = async () => (await master.accounts.getPlanUsage({}, timely)).accounts!.used;
    expect(await used()).toBe(4n);
    await master.accounts.closeAccount({ account: "a" }, timely);
    // a is closed, b and c are below it.
    expect(await used()).toBe(1n);
    expect(await full()).toBe("OK");
  });
});
