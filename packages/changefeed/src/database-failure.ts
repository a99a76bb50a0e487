import { Failure, unavailable } from "@gatehouse/service/failure";
import { QueryFailedError, QueryRunnerProviderAlreadyReleasedError } from "typeorm";
import { sqlState } from "./change-log.ts";

/**
 * SQLSTATE classes and codes of a database that cannot be asked now: connection lost, out of resources, shutting
 * down or starting, and a transaction or statement of ours that the server gave up on.
 */
const OUT_OF_REACH = /^(08...|53...|57P0[1-5]|57014|25P03|25P04|25006)$/;
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

/** A Failure UNAVAILABLE where the database could not be asked; else the error as it is. */
export function databaseFailure(error: unknown): unknown {
  if (error instanceof Failure) return error;
  // TypeORM lets a connection go the moment it is lost, between two statements of a transaction too.
  if (error instanceof QueryRunnerProviderAlreadyReleasedError) {
    return unavailable("the database did not answer", error);
  }
  const code = sqlState(error);
  // What the server says has a code; a statement that failed without one lost its connection.
  const isLost =
    code === undefined ? error instanceof QueryFailedError : OUT_OF_REACH.test(code) || SOCKET.has(code);
  return isLost ? unavailable("the database did not answer", error) : error;
}
