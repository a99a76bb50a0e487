import type { KeyView } from "@gatehouse/access";
import type { AccountEntry } from "./entry.ts";
import type { SealedValues } from "./sealed-values.ts";

/** The header that a gateway puts on the call that it passes on. Its value is a secret. */
export interface UpstreamHeader {
  readonly name: string;
  readonly value: string;
}

/** The upstream credentials of accounts, opened once for each and kept with it. */
export class UpstreamHeaders {
  readonly #sealed: SealedValues;

  constructor(sealed: SealedValues) {
    this.#sealed = sealed;
  }

  /**
   * That of the account acted on, or of the nearest above it in its organization. A verifier is given none of an
   * account above its own: a customer's facade gets what the customer set, not what the provider set for the customer.
   * Undefined: there is none. "sealed": there is one, and it does not open here.
   */
  of(target: readonly AccountEntry[], verifier: KeyView): UpstreamHeader | "sealed" | undefined {
    for (const account of target) {
      if (account.upstreamCredential !== "") return this.#opened(account);
      if (account.id === verifier.key.accountId || account.id === account.organizationId) return undefined;
    }
    return undefined;
  }

  #opened(account: AccountEntry): UpstreamHeader | "sealed" {
    const { id, upstreamCredential } = account;
    if (account.upstream?.credential !== upstreamCredential) {
      const [, name, value] = FORMAT.exec(this.#sealed.open(upstreamCredential, id) ?? "") ?? [];
      const header = name === undefined || value === undefined ? undefined : { name, value };
      account.upstream = { credential: upstreamCredential, header };
    }
    return account.upstream.header ?? "sealed";
  }
}

/** As identity seals it. */
const FORMAT = /^([^:]+): (.+)$/;
