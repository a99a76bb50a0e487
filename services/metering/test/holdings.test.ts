import { mintId } from "@gatehouse/keys";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Reserver } from "./reserving.ts";

const patiently = { timeout: 15_000, interval: 20 };

const timely = { timeoutMs: 5000 };
const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});
afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

test("nothing is held for an account, also where identity made it a moment ago", async () => {
  const { id } = identity.account(identity.root, "just-made");
  expect((await metering.holdings().getHoldings({ accountId: id }, timely)).holdings).toEqual([]);
});

test("what is no account has no holdings to tell of", async () => {
  const unknown = metering.holdings().getHoldings({ accountId: mintId("acc") }, timely);
  await expect(unknown).rejects.toMatchObject({ code: "NOT_FOUND" });
  for (const accountId of ["", "just-made", mintId("key")]) {
    const malformed = metering.holdings().getHoldings({ accountId }, timely);
    await expect(malformed).rejects.toMatchObject({ violations: [{ field: "account_id" }] });
  }
});

test("without identity there is no answer for an account that is not known", async () => {
  identity.up = false;
  try {
    const unknown = () => metering.holdings().getHoldings({ accountId: mintId("acc") }, timely);
    await vi.waitFor(
      () => expect(unknown()).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" }),
      patiently,
    );
  } finally {
    identity.up = true;
  }
});

test("only Gatehouse's own services ask", async () => {
  const asked = metering.holdings(root.presented).getHoldings({ accountId: identity.root.id }, timely);
  await expect(asked).rejects.toMatchObject({ reason: "CREDENTIAL_INVALID" });
});

test("an open reservation is held for its account and all above it, until it is settled or over", async () => {
  identity.meter("tokens");
  const organization = identity.account(identity.root, "reserving");
  const team = identity.account(organization, "team");
  const [key, verifier] = [identity.key(team, "ACCOUNT"), identity.key(identity.root)];
  await metering.follower.prove();
  const replica = new Reserver(metering, "authz");
  const accounts = [team.id, organization.id, identity.root.id];
  const reserve = (estimate: Record<string, number>, ttlMs: number) =>
    replica.reserve({ verifier: verifier.id, key: key.id, accounts, estimate, ttlMs });
  const holdings = async (accountId: string) =>
    (await metering.holdings().getHoldings({ accountId }, timely)).holdings;
  const first = await reserve({ tokens: 100, requests: 1 }, 60_000);
  const brief = await reserve({ tokens: 5 }, 2000);
  await first.ship();
  await brief.ship();
  for (const id of [team.id, organization.id]) {
    const held = await holdings(id);
    expect(held.map(({ accountId, amount, decisionId }) => [accountId, amount, decisionId])).toEqual(
      [[team.id, 101n, first.decisionId] as const, [team.id, 5n, brief.decisionId] as const].toSorted(
        (a, b) => (a[2] < b[2] ? -1 : 1),
      ),
    );
  }
  metering.time.offsetMs = 3000;
  expect((await holdings(team.id)).map(({ decisionId }) => decisionId)).toEqual([first.decisionId]);
  await metering.usage(verifier).commitReservation({ decisionId: first.decisionId }, timely);
  expect(await holdings(organization.id)).toEqual([]);
});
