import { bellSubject, decodeBell } from "@gatehouse/changefeed";
import { createLog, localBus } from "@gatehouse/service";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const funds = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const bus = localBus({ log: createLog({ name: "test", level: "silent" }) });
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity, { bus });
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

let made = 0;
const money = (account: string, amount: number) => ({
  account,
  amount: BigInt(amount),
  currency: "USD",
  reference: "payment",
  idempotencyKey: `key-${++made}`,
});

/** The nodes that changed while something was done, as the log says it. */
async function changedBy(work: () => Promise<unknown>): Promise<string[]> {
  const { revision } = await metering.changeLog.head();
  await work();
  const rows = await metering.query<{ entity_id: string }>(
    "SELECT entity_id FROM change_log WHERE revision > $1",
    [revision],
  );
  return rows.map(({ entity_id }) => entity_id);
}

test("followers hear of a wallet that is refilled, and nothing of one that had enough", async () => {
  const organization = identity.account(identity.root, "acme");
  const { id } = organization;
  const child = identity.account(organization, "child").id;
  await metering.follower.prove();
  const credits = metering.credits(funds);
  const topUp = (amount: number) => credits.topUp(money(id, amount), { timeoutMs });
  const transfer = (amount: number) => {
    const { account: _, ...rest } = money(id, amount);
    return credits.transfer({ ...rest, from: id, to: child }, { timeoutMs });
  };
  expect(await changedBy(() => topUp(1000))).toEqual([id]);
  expect(await changedBy(() => topUp(1000))).toEqual([]);
  expect(await changedBy(() => transfer(500))).toEqual([child]);
  expect(await changedBy(() => transfer(500))).toEqual([]);
  const holder = new Holder(metering, "holder");
  const { limits } = await holder.acquire([child, id, identity.root.id], {});
  const walletId = limits.find(({ nodeId }) => nodeId === child)!.wallets[0]!.id;
  await holder.acquire([child, id, identity.root.id], {}, { costs: { [walletId]: 999 } });
  holder.pay(walletId, 999);
  await holder.ship(() => true);
  expect(await changedBy(() => transfer(1))).toEqual([]);
  expect(await changedBy(() => transfer(500))).toEqual([child]);
  const limit = { account: id, currency: "USD", creditLimit: 5n };
  expect(await changedBy(() => credits.setCreditLimit(limit, { timeoutMs }))).toEqual([id]);
});

test("the bell rings for it, and for a price", async () => {
  const { id } = identity.account(identity.root, "umbrella");
  await metering.follower.prove();
  const rung: string[] = [];
  bus.subscribe(bellSubject("metering"), (bytes) => void rung.push(...(decodeBell(bytes)?.entityIds ?? [])));
  await metering.credits(funds).topUp(money(id, 5), { timeoutMs });
  await metering.credits(funds).setPrice({ meter: "requests", currency: "USD", price: 1n }, { timeoutMs });
  await expect.poll(() => rung, { timeout: timeoutMs }).toEqual([id, "@prices"]);
});
