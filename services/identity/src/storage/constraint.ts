import { sqlState } from "@gatehouse/changefeed";

const UNIQUE_VIOLATION = "23505";

/** The unique constraint that an insert ran into, if that is what went wrong. */
export function violatedUnique(error: unknown): string | undefined {
  if (sqlState(error) !== UNIQUE_VIOLATION) return undefined;
  const { constraint, driverError } = error as { constraint?: string; driverError?: { constraint?: string } };
  return driverError?.constraint ?? constraint;
}
