import { databaseFailure } from "@gatehouse/changefeed";

/**
 * The work of a round of many. A database that is out of reach is so for each of them; and where the connection was lost,
 * nobody knows whether it committed. It is told apart from what one of them broke, after which the others are tried alone.
 */
export function asFailure<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw databaseFailure(error);
  });
}
