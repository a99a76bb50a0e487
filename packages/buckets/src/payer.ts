/** An account as far as it matters to who pays. */
interface PayingAccount {
  /** Its calls draw on the wallet that its parent's calls draw on. */
  readonly usesParentBalance: boolean;
}

/**
 * Who pays for calls on an account, of a chain of it and its ancestors, root last: the account, or while it uses its
 * parent's balance whoever pays for the parent's. Undefined where nobody does: the root pays for nothing, so calls on
 * the provider's own account are free, whatever they cost others.
 */
export function payerOf<Account extends PayingAccount>(chain: readonly Account[]): Account | undefined {
  for (let i = 0; i < chain.length - 1; i++) {
    const account = chain[i]!;
    if (!account.usesParentBalance) return account;
  }
  return undefined;
}
