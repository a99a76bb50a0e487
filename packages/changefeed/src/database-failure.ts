import { type Log, seldom } from "@gatehouse/service";
import { Failure, unavailable } from "@gatehouse/service/failure";
import { QueryFailedError, QueryRunnerProviderAlreadyReleasedError } from "typeorm";
import { sqlState } from "./change-log.ts";

/**
 * SQLSTATE classes and codes of a database that cannot be asked now: connection lost, out of resources, shutting
 * down or starting, and a transaction or statement of ours that the server gave up on.
 */
const OUT_OF_REACH = /^(08...|53...|57P0[1-5]|57014|25P03|25P04|25006)$/;
/**
 * No such table, column or key to be in conflict with. Statements of ours fit the schema that their version migrates to,
 * so a newer version has migrated it since: what this one cannot do another replica can, and so will this one's successor.
 */
const UNFIT = new Set(["42P01", "42703", "42P10"]);
/** What the sockets of an unreachable server fail with. */
const SOCKET = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** A Failure UNAVAILABLE where the database could not be asked, or not any more; else the error as it is. */
export function databaseFailure(error: unknown): unknown {
  if (error instanceof Failure) return error;
  // TypeORM lets a connection go the moment it is lost, between two statements of a transaction too.
  if (error instanceof QueryRunnerProviderAlreadyReleasedError) {
    return unavailable("the database did not answer", error);
  }
  const code = sqlState(error);
  if (isUnfit(code)) return unavailable("the schema is newer than this replica", error, UNFIT_RETRY_MS);
  // What the server says has a code; a statement that failed without one lost its connection.
  const isLost =
    code === undefined ? error instanceof QueryFailedError : OUT_OF_REACH.test(code) || SOCKET.has(code);
  return isLost ? unavailable("the database did not answer", error) : error;
}

/** The same, and says once in a while that the schema is newer: nobody else would, as these are no faults. */
export function loggedDatabaseFailure(
  log: Pick<Log, "error">,
  nowMs: () => number = () => performance.now(),
): (error: unknown) => unknown {
  const tell = seldom(
    (err: unknown, times) => log.error({ err, times }, "a statement does not fit the schema, which is newer"),
    nowMs,
  );
  return (error) => {
    const failure = databaseFailure(error);
    // What was translated further inside has its error as its cause.
    const cause = failure instanceof Failure ? failure.cause : undefined;
    if (isUnfit(sqlState(cause))) tell(cause);
    return failure;
  };
}

/** It takes until this replica is replaced, or another is asked. */
const UNFIT_RETRY_MS = 1000;

function isUnfit(code: string | undefined): boolean {
  return code !== undefined && UNFIT.has(code);
}
