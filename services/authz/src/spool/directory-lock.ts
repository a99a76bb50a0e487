import type { DatabaseSync } from "node:sqlite";
import { lockDirectory } from "@gatehouse/service";
import { findEpochs } from "./epoch-directory.ts";

/**
 * One process per spool directory. Two would give one sequence number to two batches, of which metering takes one.
 *
 * The largest epoch ever begun is kept in the lock's database, so that no number comes back once its directory is
 * gone.
 */
export class DirectoryLock {
  /** The epoch that this holder may use, begun by taking the lock. */
  readonly epoch: number;
  readonly #database: DatabaseSync;

  /**
   * Throws an Error naming the directory if another process holds it.
   *
   * @param firstEpoch the number to begin with where none was ever used
   */
  constructor(directory: string, firstEpoch: number) {
    const database = lockDirectory(directory);
    if (database === undefined) {
      throw new Error(`spool directory ${directory} is in use by another process`);
    }
    this.#database = database;
    try {
      this.epoch = this.#beginEpoch(directory, firstEpoch);
      // The lock outlives the COMMIT because of the locking mode; the open transaction says so once more.
      this.#database.exec("COMMIT; BEGIN EXCLUSIVE");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Gives the directory up. */
  release(): void {
    if (this.#database.isOpen) {
      this.#database.close();
    }
  }

  // The directories count as well, in case the database was removed.
  #beginEpoch(directory: string, firstEpoch: number): number {
    this.#database.exec("CREATE TABLE IF NOT EXISTS epoch (last INTEGER NOT NULL)");
    const rows = this.#database.prepare("SELECT last FROM epoch").all();
    const used = [...rows.map(({ last }) => Number(last)), ...findEpochs(directory)];
    const epoch = used.length === 0 ? firstEpoch : Math.max(...used) + 1;
    this.#database.exec("DELETE FROM epoch");
    this.#database.prepare("INSERT INTO epoch (last) VALUES (?)").run(epoch);
    return epoch;
  }
}
