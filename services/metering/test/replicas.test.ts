import { AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let replicas: TestMetering[];

beforeAll(async () => {
  postgres = await startTestPostgres();
  replicas = await Promise.all([
    startMetering(postgres.url, identity),
    startMetering(postgres.url, identity),
  ]);
});

afterAll(async () => {
  for (const replica of replicas ?? []) await replica.stop();
  await postgres?.stop();
});

test("recalls and freed units reach holders of another replica: exactly N of N", async () => {
  const account = identity.account(identity.root, "shared");
  await Promise.all(replicas.map(({ follower }) => follower.prove()));
  const { limit } = await replicas[0]!.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "quota", value: { units: 30n, window: Window.NEVER } },
    },
    { timeoutMs: 5000 },
  );
  const holders = replicas.map((replica, i) => new Holder(replica, `replica-${i}`));
  await Promise.all(holders.map((holder) => holder.answerRecalls()));
  let admitted = 0;
  await Promise.all(
    holders.map(async (holder) => {
      while (await holder.use([account.id], [limit!.id], 10)) admitted++;
    }),
  );
  expect(admitted).toBe(30);
  const { results } = await holders[0]!.acquire([account.id], { requests: 1 });
  expect(results[0]!.outcome).toBe(Outcome.EXHAUSTED);
  for (const holder of holders) holder.stop();
});

test("two replicas keep one mirror", async () => {
  const accounts = Array.from({ length: 50 }, (_, i) => identity.account(identity.root, `mirrored-${i}`));
  await Promise.all(replicas.flatMap(({ follower }) => [follower.prove(), follower.prove()]));
  const holder = new Holder(replicas[1]!, "mirror");
  const nodeIds = accounts.map(({ id }) => id);
  const { results } = await holder.acquire(nodeIds, { requests: 1 }, { position: identity.position });
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
});
