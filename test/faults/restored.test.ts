import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { DecisionCode } from "@gatehouse/proto/authz";
import { FeedService } from "@gatehouse/proto/identity";
import { grpcClient } from "@gatehouse/service";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, askUntilValid } from "../system/verifying.ts";

const ENTRY = join(import.meta.dirname, "../../deploy/gatehouse");
const BOUND_MS = 1000;

const system = useSystem();

/** The image's command, with nothing else of this process's environment. */
function restored(environment: Record<string, string>): Promise<{ stdout: string }> {
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  return promisify(execFile)(ENTRY, ["restored"], { env: { PATH: path, ...environment } });
}

async function connected(): Promise<pg.Client> {
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  await sql.connect();
  onTestFinished(() => sql.end());
  return sql;
}

function secretFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-restored-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "url"), `${text}\n`);
  return join(directory, "url");
}

test("after a restore everybody drops what the log does not say, once the command was run", async () => {
  const { root, replicas, identity, serviceSecret, databaseUrl } = system();
  const { master, subaccounts } = await makeOrganization(system(), "Restored", ["team"]);
  const { id, secret } = subaccounts[0]!.key;
  const made = await master.keys.createKey({ account: subaccounts[0]!.id, name: "before" }, timely);
  const codes = async (key: string) =>
    (await Promise.all([0, 1].map((i) => ask(root, i, { key })))).map(({ code }) => code);
  expect(replicas).toHaveLength(2);
  expect(await codes(secret)).toEqual(["VALID", "VALID"]);
  const sql = await connected();
  const mirrored = async () =>
    (
      await sql.query<{ status: string }>(
        "SELECT node ->> 'status' AS status FROM metering.key WHERE id = $1",
        [id],
      )
    ).rows[0]?.status;
  await until("metering has the key", async () => (await mirrored())?.endsWith("ENABLED"));

  // What a backup brings back is in the tables, and not on the log.
  await sql.query("UPDATE identity.key SET status = 'DISABLED' WHERE id = $1", [id]);
  const caughtUp = await master.keys.createKey({ account: subaccounts[0]!.id, name: "caught up" }, timely);
  const upTo = { key: secret, atLeastAsFresh: [caughtUp.freshness] };
  expect((await Promise.all([0, 1].map((i) => ask(root, i, upTo)))).map(({ code }) => code)).toEqual([
    "VALID",
    "VALID",
  ]);

  const feed = grpcClient(FeedService, identity.grpcAddress, {
    headers: { authorization: `Bearer ${serviceSecret}` },
  });
  onTestFinished(() => feed.close());
  const { head: before } = await feed.getHead({}, timely);
  const { stdout } = await restored({ GATEHOUSE_DATABASE_URL_FILE: secretFile(databaseUrl) });
  const { head: after } = await feed.getHead({}, timely);
  const [ofIdentity, ofMetering, ...more] = stdout.trim().split("\n");
  expect(ofIdentity).toBe(`identity: incarnation ${before!.incarnation} is now ${after!.incarnation}`);
  expect(ofMetering).toMatch(/^metering: incarnation [0-9a-f-]{36} is now [0-9a-f-]{36}$/);
  expect([before!.incarnation === after!.incarnation, after!.revision, more]).toEqual([
    false,
    before!.revision,
    [],
  ]);

  await expect(feed.listChanges({ after: before! }, timely)).rejects.toMatchObject({
    reason: "LOG_TRUNCATED",
  });
  for (const i of [0, 1]) {
    await until(
      `replica ${i} begins again`,
      async () => (await ask(root, i, { key: secret })).code === "DISABLED",
      BOUND_MS,
    );
  }
  await until("metering begins again", async () => (await mirrored())?.endsWith("DISABLED"));
  // Who waits for what only the lost log had is told so; who changes something now is followed.
  await expect(
    root.authz[0]!.verify({ key: made.secret, atLeastAsFresh: [made.freshness] }, timely),
  ).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "FRESHNESS_UNREACHABLE" });
  for (const replica of [0, 1]) await askUntilValid(root, replica, { key: made.secret });
  const { freshness } = await master.keys.revokeKey({ key: made.key!.id }, timely);
  const revoked = await root.authz[1]!.verify({ key: made.secret, atLeastAsFresh: [freshness] }, timely);
  expect(revoked.code).toBe(DecisionCode.NOT_FOUND);
});

test("the command says what keeps it from being done, and no secret", async () => {
  const refused = (environment: Record<string, string>) =>
    restored(environment).then(
      () => expect.unreachable(),
      ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
    );
  const missing = await refused({});
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("GATEHOUSE_DATABASE_URL is required"),
  });
  const url = new URL(system().databaseUrl);
  url.pathname = "/template1";
  const none = await refused({ GATEHOUSE_DATABASE_URL: url.href });
  expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("the database has no feed") });
  const nowhere = await refused({
    GATEHOUSE_DATABASE_URL: "postgres://gatehouse:hunter2hunter2@127.0.0.1:1/none",
  });
  expect(nowhere.code).toBe(1);
  for (const secret of [url.password, "hunter2hunter2"]) {
    expect(none.stderr + nowhere.stderr).not.toContain(secret);
  }
});
