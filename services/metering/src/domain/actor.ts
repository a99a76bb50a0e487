import type { KeyView } from "@gatehouse/access";

/** Who did it, for the audit trail. */
export interface Actor {
  readonly keyId: string;
  readonly accountId: string;
}

export function actorOf({ key }: KeyView): Actor {
  return { keyId: key.id, accountId: key.accountId };
}
