import type { PoolClient } from "pg";
import { type EntityManager, QueryFailedError } from "typeorm";

/** A statement that every connection plans a few times and then keeps the plan of, until the tables' statistics change. */
export interface Prepared {
  /** Of this text alone; 63 bytes at most. */
  readonly name: string;
  readonly text: string;
}

/**
 * Runs it in the manager's transaction, or on a connection of its own. For statements that join a dozen tables and touch
 * a few rows of each: planning such a one costs as much as all that it does. Fails as TypeORM's statements do.
 */
export async function runPrepared<Row>(
  manager: EntityManager,
  statement: Prepared,
  values: unknown[],
): Promise<Row[]> {
  const runner = manager.queryRunner ?? manager.dataSource.createQueryRunner();
  try {
    const client = (await runner.connect()) as PoolClient;
    const { rows } = await client.query({ ...statement, values });
    return rows as Row[];
  } catch (error) {
    throw new QueryFailedError(statement.text, values, error as Error);
  } finally {
    if (manager.queryRunner === undefined) await runner.release();
  }
}
