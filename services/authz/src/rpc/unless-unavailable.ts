import { Failure } from "@gatehouse/service/failure";

/** False where what was asked does not answer; throws what went wrong otherwise. */
export function unlessUnavailable(error: unknown): false {
  if (error instanceof Failure && (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED"))
    return false;
  throw error;
}
