/** What became of an account's calls, by meter in the order of the trace's meters. */
export interface AccountTally {
  readonly sent: bigint[];
  readonly admitted: bigint[];
  readonly refused: bigint[];
}

/** Calls refused for one reason. */
export interface Refusals {
  /** A decision code, such as `QUOTA_EXCEEDED`. */
  readonly code: string;
  /** Empty where no limit refused. */
  readonly limitId: string;
  readonly nodeId: string;
  readonly meter: string;
  readonly units: bigint[];
  /** The least of each meter that one of them asked for. */
  readonly least: bigint[];
  readonly accounts: Set<string>;
}

/** A call and whose it was. */
export interface TalliedCall {
  readonly accountId: string;
  /** `requests` first. */
  readonly units: readonly bigint[];
}

/** Why a call was refused. */
export interface RefusedBy {
  readonly code: string;
  readonly limitId: string;
  readonly nodeId: string;
  readonly meter: string;
}

/** Who was let in with what, and who was not. Grows with accounts and limits, not with calls. */
export class Tally {
  readonly accounts = new Map<string, AccountTally>();
  readonly refusals = new Map<string, Refusals>();
  readonly #meters: number;
  /** Answers of INDETERMINATE, each of which was asked again. */
  indeterminate = 0;
  /** Calls that were asked as often as may be and never decided. */
  undecided = 0;
  /** Batches that were sent again because the answer did not come. */
  resent = 0;
  /** Calls over a WARN limit. */
  warned = 0;

  constructor(meters: number) {
    this.#meters = meters;
  }

  sent({ accountId, units }: TalliedCall): void {
    add(this.#of(accountId).sent, units);
  }

  admitted({ accountId, units }: TalliedCall): void {
    add(this.#of(accountId).admitted, units);
  }

  refused({ accountId, units }: TalliedCall, by: RefusedBy): void {
    add(this.#of(accountId).refused, units);
    const name = `${by.code} ${by.limitId}`;
    let refusals = this.refusals.get(name);
    if (refusals === undefined) {
      refusals = { ...by, units: this.#zeros(), least: [...units], accounts: new Set() };
      this.refusals.set(name, refusals);
    }
    add(refusals.units, units);
    for (const [index, least] of refusals.least.entries()) {
      if (units[index]! < least) refusals.least[index] = units[index]!;
    }
    refusals.accounts.add(accountId);
  }

  total(what: keyof AccountTally): bigint[] {
    const sum = this.#zeros();
    for (const account of this.accounts.values()) add(sum, account[what]);
    return sum;
  }

  #of(accountId: string): AccountTally {
    let account = this.accounts.get(accountId);
    if (account === undefined) {
      account = { sent: this.#zeros(), admitted: this.#zeros(), refused: this.#zeros() };
      this.accounts.set(accountId, account);
    }
    return account;
  }

  #zeros(): bigint[] {
    return new Array<bigint>(this.#meters).fill(0n);
  }
}

function add(sum: bigint[], units: readonly bigint[]): void {
  for (let index = 0; index < sum.length; index++) sum[index]! += units[index]!;
}
