import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode } from "@gatehouse/proto/authz";
import { AccountService, AccountStatus } from "@gatehouse/proto/identity";
import { HoldingService } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import { anyPorts, startStack } from "@gatehouse/stack";
import { expect, onTestFinished, test } from "vitest";
import { callerOf, timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** identity asks metering what it holds before it closes an account. */

const system = useSystem({ replicas: [{}] });

test("an account is closed while metering answers, and not while it does not", async () => {
  const { root, identity, identityLinks, as } = system();
  const { master, subaccounts } = await makeOrganization(system(), "Closing", ["one", "two"]);
  const [one, two] = [subaccounts[0]!, subaccounts[1]!];
  // Made a moment ago: metering pulls before it answers.
  const fresh = await master.accounts.createAccount({ name: "just made" }, timely);
  const closed = await master.accounts.closeAccount({ account: fresh.account!.id }, timely);
  expect(closed.account!.status).toBe(AccountStatus.CLOSED);

  await master.accounts.closeAccount({ account: one.id }, timely);
  const refused = { key: one.key.secret };
  await until("Verify refuses a key of the closed account", async () => {
    const { body } = await system().json(root.secret, "authz.v1.AuthzService/Verify", refused);
    return body.code === "DECISION_CODE_ACCOUNT_CLOSED";
  });

  // One that does not try again.
  const impatient = grpcClient(AccountService, identity.grpcAddress, {
    headers: { "x-api-key": master.secret },
  });
  onTestFinished(() => impatient.close());
  const lost = [() => identityLinks.metering.cut(), () => identityLinks.metering.hang()];
  for (const lose of lost) {
    lose();
    const unasked = impatient.closeAccount({ account: two.id }, timely);
    await expect(unasked).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE" });
    expect((await as(two.key.secret).accounts.getAccount({}, timely)).account!.status).toBe(
      AccountStatus.ACTIVE,
    );
    // Nothing else in identity needs metering.
    await master.accounts.updateAccount({ account: two.id, labels: { kept: "yes" } }, timely);
    identityLinks.metering.mend();
  }
  await until("it is closed once metering answers again", async () => {
    const { account } = await master.accounts.closeAccount({ account: two.id }, timely);
    return account!.status === AccountStatus.CLOSED;
  });
});

test("an account is not closed while a reservation of it, or of one below it, is open", async () => {
  const { root, metering, serviceSecret } = system();
  const headers = { authorization: `Bearer ${serviceSecret}` };
  const holdings = grpcClient(HoldingService, metering.grpcAddress, { headers });
  onTestFinished(() => holdings.close());
  const made = await makeOrganization(system(), "Reserved", ["team"]);
  const team = made.subaccounts[0]!;
  const call = { key: team.key.secret, reserveTtl: durationFromMs(600_000) };
  const decisionId = await until("a reservation is made", async () => {
    const { code, decisionId } = await root.authz[0]!.verify(call, timely);
    return code === DecisionCode.VALID && decisionId;
  });
  const close = () => root.accounts.closeAccount({ account: made.id }, timely);
  // It is on its way for about a second.
  await until("metering knows of the reservation", async () => {
    const held = await holdings.getHoldings({ accountId: made.id }, timely);
    return held.holdings[0]?.decisionId === decisionId;
  });
  await expect(close()).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "ACCOUNT_HOLDS" });
  await root.usage.releaseReservation({ decisionId }, timely);
  expect((await close()).account!.status).toBe(AccountStatus.CLOSED);
});

test("the stack, where metering starts after identity, closes accounts too", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-closing-"));
  // Postgres may run as another user, who must pass through.
  await chmod(directory, 0o755);
  const settings = { ports: anyPorts, postgresSettings: ["fsync=off"], logLevel: "error" } as const;
  const stack = await startStack({ directory, ...settings });
  const { identity, authz, metering } = stack;
  const addresses = {
    identity: identity.grpcAddress,
    metering: metering.grpcAddress,
    authz: [authz.grpcAddress],
  };
  const rootKey = (await readFile(stack.rootKeyPath, "utf8")).trim();
  const root = callerOf(rootKey, addresses);
  try {
    const { account } = await root.accounts.createAccount({ name: "In one process" }, timely);
    const closed = await root.accounts.closeAccount({ account: account!.id }, timely);
    expect(closed.account!.status).toBe(AccountStatus.CLOSED);
  } finally {
    root.close();
    await stack.close();
    await rm(directory, { recursive: true, force: true });
  }
});

test("an account with money is closed once it is told where the money goes", async () => {
  const { root } = system();
  const { id, master, subaccounts } = await makeOrganization(system(), "Funded", ["spent", "kept"]);
  const [spent, kept] = [subaccounts[0]!, subaccounts[1]!];
  await root.credits.topUp({ account: spent.id, amount: 250n, currency: "USD" }, timely);
  const close = (transferBalanceTo = "") =>
    master.accounts.closeAccount({ account: spent.id, transferBalanceTo }, timely);
  await expect(close()).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "ACCOUNT_HOLDS" });
  await expect(close(spent.id)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  expect((await close("kept")).account!.status).toBe(AccountStatus.CLOSED);
  const { balances } = await master.credits.listBalances({ account: id, descendants: true }, timely);
  expect(balances.map(({ accountId, amount }) => [accountId, amount])).toEqual([
    [spent.id, 0n],
    [kept.id, 250n],
  ]);
});
