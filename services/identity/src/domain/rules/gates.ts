/** Whoever changes what an account lays down holds this exclusively: its bounds are over all of a kind. */
export function definitionsGate(accountId: string): string {
  return `definitions:${accountId}`;
}

/** Whoever gives an organization the plan holds this shared, who deletes the plan exclusively. */
export function planGate(plan: string): string {
  return `plan:${plan}`;
}

/** Whoever makes an account of the type, or enables it for one, holds this shared, who deletes the type exclusively. */
export function typeGate(type: string): string {
  return `type:${type}`;
}
