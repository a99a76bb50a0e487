import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Takes a directory for one process, and makes it if it is missing. Undefined: another process holds it.
 *
 * The lock is SQLite's, on `lock.db` held in an exclusive transaction until the database is closed: the kernel
 * holds it for the process, through SIGSTOP, and frees it at any death. A file with a pid does neither. The holder
 * may keep what belongs to the lock in the database.
 */
export function lockDirectory(directory: string): DatabaseSync | undefined {
  mkdirSync(directory, { recursive: true });
  const database = new DatabaseSync(join(directory, "lock.db"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}

const SQLITE_BUSY = 5;
