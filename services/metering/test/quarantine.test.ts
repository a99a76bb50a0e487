import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const minute = BigInt(Math.floor(Date.now() / 60_000));
function usage(accountId: string, meter: string, units: bigint) {
  return { minute, accountId, keyId: "key_any", meter, resource: "", outcome: "VALID", units };
}

async function used(account: AccountNode): Promise<Record<string, number>> {
  const { rows } = await metering.usage(root).queryUsage(
    {
      node: { case: "account", value: account.id },
      start: timestampFromMs(Number(minute) * 60_000),
    },
    { timeoutMs },
  );
  return Object.fromEntries(rows.map(({ meter, units }) => [meter, Number(units)]));
}

function metricOf({ metrics }: TestMetering, name: string): number | undefined {
  return metrics.find((metric) => metric.name === name)?.read()[0]?.value;
}

test("usage of a meter that is not known, or no longer, waits and blocks nothing, until it is declared", async () => {
  const account = identity.account(identity.root, "meters");
  identity.meter("pages");
  await new Holder(metering, "known").ship(undefined, [usage(account.id, "pages", 1n)]);
  identity.deleteMeter("pages");
  await metering.follower.prove();
  const spool = new Holder(metering, "unknown");
  const batch = spool.batch({
    usage: [
      usage(account.id, "requests", 2n),
      usage(account.id, "pages", 4n),
      usage(account.id, "never", 8n),
      usage("acc_0000000000000000none", "requests", 16n),
    ],
  });
  expect(await metering.ingest.ingestBatch(batch, { timeoutMs })).toMatchObject({ quarantined: 3 });
  expect(await used(account)).toEqual({ requests: 2, pages: 1 });
  identity.meter("pages");
  await expect.poll(() => used(account), { timeout: 5000 }).toEqual({ requests: 2, pages: 5 });
  const left = await metering.query("SELECT meter, units FROM usage_quarantine ORDER BY units", []);
  expect(left).toEqual([
    { meter: "never", units: "8" },
    { meter: "requests", units: "16" },
  ]);
});

test("a meter that was made a moment ago is known at once", async () => {
  const account = identity.account(identity.root, "young");
  await metering.follower.prove();
  identity.meter("young");
  const spool = new Holder(metering, "young");
  const batch = spool.batch({ usage: [usage(account.id, "young", 1n)] });
  expect(await metering.ingest.ingestBatch(batch, { timeoutMs })).toMatchObject({ quarantined: 0 });
});

test("more rows than one run takes leave together, past many that cannot", async () => {
  const account = identity.account(identity.root, "many");
  await metering.follower.prove();
  await metering.query(
    `INSERT INTO usage_quarantine (start, account_id, key_id, meter, resource, outcome, units, since)
     SELECT now(), CASE WHEN n % 2 = 0 THEN $1 ELSE 'acc_none' || n % 7 END, 'key_' || n, 'many', '', 'VALID', 1,
       now() - interval '2 hours'
     FROM generate_series(1, 24000) AS n`,
    [account.id],
  );
  identity.meter("many");
  const now = async () => {
    const [row] = await metering.query<{ units: string }>(
      "SELECT sum(units) AS units FROM usage_minute WHERE account_id = $1",
      [account.id],
    );
    return Number(row?.units);
  };
  await expect.poll(now, { timeout: 15_000 }).toBe(12_000);
});

test("how much waits, and for how long, is shown", async () => {
  const other = await startMetering(postgres.url, identity);
  try {
    const [row] = await metering.query<{ count: string }>("SELECT count(*) FROM usage_quarantine", []);
    const rows = () => metricOf(other, "gatehouse_usage_quarantined_rows");
    await expect.poll(rows, { timeout: 5000 }).toBe(Number(row!.count));
    expect(metricOf(other, "gatehouse_usage_quarantine_oldest_age_seconds")).toBeGreaterThan(7000);
  } finally {
    await other.stop();
  }
});
