import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeOrganization, type Subaccount } from "../system/organization.ts";
import { scrape } from "../system/scrape.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { askUntilValid } from "../system/verifying.ts";

/**
 * A metering that was restored from an older backup: spools send again what they keep, without being told; what they do
 * not keep stops its epoch, which says so, until the gap is accepted.
 */

const spool = mkdtempSync(join(tmpdir(), "gatehouse-restored-metering-"));
const system = useSystem({ replicas: [{ environment: { GATEHOUSE_SPOOL_DIR: spool } }] });
/** The spool registers an epoch that is stuck again after ten seconds. */
const STUCK_RETRY_MS = 20_000;
let sql: pg.Client;

beforeAll(async () => {
  sql = new pg.Client({ connectionString: system().databaseUrl, options: "-c search_path=metering" });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  rmSync(spool, { recursive: true, force: true });
});

async function used({ id }: Subaccount): Promise<number> {
  const { rows } = await sql.query(
    "SELECT coalesce(sum(units), 0) AS units FROM usage_quarter WHERE account_id = $1",
    [id],
  );
  return Number(rows[0].units);
}

/** One call, booked: a batch of its own. */
async function call(subaccount: Subaccount): Promise<void> {
  const before = await used(subaccount);
  await askUntilValid(system().root, 0, { key: subaccount.key.secret });
  await until("the call is booked", async () => (await used(subaccount)) > before);
}

/** What metering has of usage, and of what it took, as a backup from before all of it. */
async function restoreOlder(): Promise<void> {
  await sql.query(`
    BEGIN;
    DELETE FROM usage_minute; DELETE FROM usage_quarter; DELETE FROM usage_account; DELETE FROM ingested_batch;
    UPDATE producer_epoch SET next_sequence = 1;
    COMMIT`);
}

test("a restored metering gets what spools keep, and the rest when its gap is accepted", async () => {
  const { replicas, metering, serviceSecret } = system();
  const { subaccounts } = await makeOrganization(system(), "Restored", ["team"]);
  const team = subaccounts[0]!;
  for (let i = 0; i < 5; i++) await call(team);
  expect(await used(team)).toBe(5);

  await restoreOlder();
  await askUntilValid(system().root, 0, { key: team.key.secret });
  await until("the spool has sent everything again", async () => (await used(team)) === 6);

  // Older than what the spool keeps: the first two calls are lost.
  await replicas[0]!.process.stop();
  const [epoch] = readdirSync(spool).filter((name) => name.startsWith("epoch-"));
  const kept = readdirSync(join(spool, epoch!, "kept")).sort();
  const withUsage = kept.length - 6;
  for (const name of kept.slice(0, withUsage + 2)) rmSync(join(spool, epoch!, "kept", name));
  await restoreOlder();
  await replicas[0]!.process.start();
  await until("the epoch is stuck, and says so", async () => {
    const scraped = await scrape(replicas[0]!.process);
    return scraped.value("gatehouse_spool_stuck_epochs") === 1;
  });
  // The epoch that the start began is not held up.
  await call(team);
  expect(await used(team)).toBe(1);
  const alarm = /"epoch":(\d+),"expected":1,"acceptGap":(\d+)/.exec(system().logs());
  expect(alarm, "the log names the number to accept").not.toBeNull();

  const [, number, sequence] = alarm!;
  const { rows } = await sql.query("SELECT producer FROM producer_epoch WHERE epoch = $1", [number]);
  const body = { producer: rows[0].producer, epoch: number, sequence };
  // As docs/restoring.md says.
  const url = `http://${metering.httpAddress}/gatehouse.metering.v1.IngestService/AcceptGap`;
  const headers = { authorization: `Bearer ${serviceSecret}`, "content-type": "application/json" };
  const accepted = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  expect(await accepted.json()).toMatchObject({
    expectedSequence: sequence,
    lostBatches: String(Number(sequence) - 1),
  });
  await until("what is left is booked", async () => (await used(team)) === 4 + 1, STUCK_RETRY_MS);
  await until("nothing is stuck", async () => {
    return (await scrape(replicas[0]!.process)).value("gatehouse_spool_stuck_epochs") === 0;
  });
}, 120_000);
