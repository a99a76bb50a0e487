import { openDatabase } from "@gatehouse/changefeed";
import { startTestPostgres } from "@gatehouse/stack/test-postgres";
import { expect, it } from "vitest";
import { MetersDefined1763900010000 } from "../src/storage/migrations/1763900010000-meters-defined.ts";
import { migrations } from "../src/storage/migrations/index.ts";

const SECOND = "2026-11-01T10:00:00.000Z";

it("meters are kept as migrations run back and forth", async () => {
  const postgres = await startTestPostgres();
  try {
    const options = { url: postgres.url, schema: "identity", entities: [], migrations, poolSize: 2 };
    const dataSource = await openDatabase(options);
    const undone = migrations.slice(migrations.indexOf(MetersDefined1763900010000));
    const back = async () => {
      for (const _ of undone) await dataSource.undoLastMigration();
    };
    await back();
    await dataSource.query(
      `INSERT INTO account (id, path, slug_space, slug, name, status, suspension_reason, plan, profile, labels,
         created_at, updated_at)
       VALUES ('acc_root', '{acc_root}', '', 'provider', 'P', 'ACTIVE', '', '', '{}', '{}', now(), now())`,
    );
    await dataSource.query("INSERT INTO meter VALUES ('tokens', 'Tokens', 'token', $1)", [SECOND]);
    await dataSource.runMigrations();
    expect(await dataSource.query("SELECT * FROM definition")).toEqual([
      {
        kind: "meter",
        account_id: "acc_root",
        name: "tokens",
        id: "",
        body: { title: "Tokens", unit: "token" },
        created_at: new Date(SECOND),
        updated_at: new Date(SECOND),
      },
    ]);
    await back();
    expect(await dataSource.query("SELECT * FROM meter")).toEqual([
      { name: "tokens", title: "Tokens", unit: "token", created_at: new Date(SECOND) },
    ]);
    await dataSource.destroy();
  } finally {
    await postgres.stop();
  }
});
