import type { DataSource, MigrationInterface, QueryRunner } from "typeorm";
import { ChangeLog, changeLogDown, changeLogUp, openDatabase, type Tx } from "../src/index.ts";

/** The smallest service that has a change log: things with a state. */
class Things1700000000000 implements MigrationInterface {
  readonly name = "Things1700000000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(changeLogUp);
    await runner.query("CREATE TABLE thing (id text PRIMARY KEY, state int NOT NULL DEFAULT 0)");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE thing");
    await runner.query(changeLogDown);
  }
}

export interface Ledger {
  readonly dataSource: DataSource;
  readonly log: ChangeLog;
  /** What the bell was rung for, a commit at a time. */
  readonly rung: (readonly string[])[];
  close(): Promise<void>;
}

/** A ledger in a schema of a test's own. */
export async function openLedger(url: string, schema: string): Promise<Ledger> {
  const dataSource = await openDatabase({
    url,
    schema,
    entities: [],
    migrations: [Things1700000000000],
    poolSize: 24,
  });
  const rung: (readonly string[])[] = [];
  const log = new ChangeLog({ dataSource, source: "identity", ring: (ids) => void rung.push(ids) });
  return { dataSource, log, rung, close: () => dataSource.destroy() };
}

/** Makes the thing, or changes its state. */
export async function touch(tx: Tx, id: string): Promise<void> {
  await tx.manager.query(
    "INSERT INTO thing (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET state = thing.state + 1",
    [id],
  );
  tx.changed("thing", id);
}
