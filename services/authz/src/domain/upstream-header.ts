import type { KeyView } from "@gatehouse/access";
import type { AccountEntry } from "./entry.ts";
import type { SealedValues } from "./sealed-values.ts";

/** The header that a gateway puts on the call that it passes on. Its value is a secret. */
export interface UpstreamHeader {
  readonly name: string;
  readonly value: string;
}

/** An account's upstream credential, once it was opened; neither header nor setter where it does not open. */
export interface OpenedCredential {
  readonly sealed: string;
  readonly header: UpstreamHeader | undefined;
  /** The account whose key set it. Undefined where that was not written down. */
  readonly setBy: string | undefined;
}

/** The upstream credentials of accounts, opened once for each and kept with it. */
export class UpstreamHeaders {
  readonly #sealed: SealedValues;

  constructor(sealed: SealedValues) {
    this.#sealed = sealed;
  }

  /**
   * That of the account acted on, or of the nearest above it in its organization, among those that the verifier may
   * have: no account's above its own, and none that an account above its own has set. So a customer's facade gets what
   * the customer set, not what the provider set for the customer, and what the provider's gateway would send a
   * customer's verifier is not told.
   * Undefined: there is none. "sealed": there is one, and it does not open here.
   */
  of(target: readonly AccountEntry[], verifier: KeyView): UpstreamHeader | "sealed" | undefined {
    const own = verifier.key.accountId;
    for (const account of target) {
      if (account.upstreamCredential !== "") {
        const { header, setBy } = this.#opened(account);
        if (header === undefined) return "sealed";
        if (isAtOrAbove(own, setBy, target)) return header;
      }
      if (account.id === own || account.id === account.organizationId) return undefined;
    }
    return undefined;
  }

  #opened(account: AccountEntry): OpenedCredential {
    const { id, upstreamCredential: sealed } = account;
    if (account.upstream?.sealed !== sealed) {
      const [, setBy, name, value] = FORMAT.exec(this.#sealed.open(sealed, id) ?? "") ?? [];
      const header = name === undefined || value === undefined ? undefined : { name, value };
      account.upstream = { sealed, header, setBy };
    }
    return account.upstream!;
  }
}

// Who set it reached the account, so it is on the account's chain; where it is not known it is the root.
function isAtOrAbove(own: string, setBy: string | undefined, chain: readonly AccountEntry[]): boolean {
  for (const { id, parentId } of chain) {
    if (id === setBy) return true;
    if (id === own) return parentId === undefined;
  }
  return false;
}

/** As identity seals it; before it told who set it, without that. */
const FORMAT = /^(?:(acc_[^ ]+) )?([^: ]+): (.+)$/;
