/** What the ledger should answer, in a few lines: the rules of docs/money.md, one after another, in memory. */

export interface Account {
  readonly id: string;
  readonly organization: string;
}

/** A request as a client makes it. */
export type Request =
  | { readonly rpc: "topUp"; readonly to: string; readonly amount: number; readonly key: string }
  | {
      readonly rpc: "transfer";
      readonly from: string;
      readonly to: string;
      readonly amount: number;
      readonly key: string;
    }
  | { readonly rpc: "adjust"; readonly account: string; readonly amount: number; readonly key: string }
  | {
      readonly rpc: "refund";
      readonly account: string;
      readonly amount: number;
      /** Of the request that made the transaction. */
      readonly of: string;
      readonly key: string;
    }
  /** Usage at the model's price: an event, by its key. */
  | { readonly rpc: "report"; readonly account: string; readonly units: number; readonly key: string }
  /** These have no key: said again, they are done again. */
  | {
      readonly rpc: "setCreditLimit";
      readonly account: string;
      readonly amount: number;
      readonly key: string;
    }
  | { readonly rpc: "getBalance"; readonly account: string; readonly key: string };

/** What of an answer is compared: balances after it, as they are after it; or why it was refused. */
export type Answer =
  | {
      readonly kind: string;
      readonly amount: number;
      readonly from: number | undefined;
      readonly to: number | undefined;
    }
  | { readonly refused: string };

interface Done {
  readonly request: Request;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly amount: number;
  refunded: boolean;
}

export class LedgerModel {
  readonly balances = new Map<string, number>();
  readonly creditLimits = new Map<string, number>();
  /** Units of usage, by account. */
  readonly reported = new Map<string, number>();
  readonly #accounts: ReadonlyMap<string, Account>;
  readonly #answers = new Map<string, { body: string; answer: Answer }>();
  readonly #done = new Map<string, Done>();
  readonly #price: number;

  /** `price`: of a unit that is reported. */
  constructor(accounts: readonly Account[], price = 0) {
    this.#accounts = new Map(accounts.map((account) => [account.id, account]));
    this.#price = price;
  }

  /** Keys of requests that moved money. */
  get moved(): readonly string[] {
    return [...this.#done.keys()];
  }

  ask(request: Request): Answer {
    if (request.rpc === "getBalance") return this.#terms(request.account);
    if (request.rpc === "setCreditLimit") {
      this.creditLimits.set(request.account, request.amount);
      return this.#terms(request.account);
    }
    const body = JSON.stringify(request);
    // Events and movements do not share their keys.
    const name = `${request.rpc === "report" ? "event" : "money"} ${request.key}`;
    const before = this.#answers.get(name);
    if (before !== undefined)
      return before.body === body ? before.answer : { refused: "IDEMPOTENCY_MISMATCH" };
    const answer = this.#decide(request);
    this.#answers.set(name, { body, answer });
    return answer;
  }

  #terms(account: string): Answer {
    const amount = this.creditLimits.get(account) ?? 0;
    return { kind: "BALANCE", amount, from: this.#balance(account), to: undefined };
  }

  #decide(request: Exclude<Request, { rpc: "getBalance" | "setCreditLimit" }>): Answer {
    switch (request.rpc) {
      case "report": {
        const { account, units } = request;
        this.reported.set(account, (this.reported.get(account) ?? 0) + units);
        this.balances.set(account, this.#balance(account) - units * this.#price);
        return { kind: "USAGE", amount: units, from: undefined, to: undefined };
      }
      case "topUp":
        return this.#move(request, "TOP_UP", undefined, request.to, request.amount, true);
      case "transfer": {
        const [from, to] = [this.#accounts.get(request.from)!, this.#accounts.get(request.to)!];
        if (from.id === to.id || from.organization !== to.organization) return { refused: "INVALID_FIELD" };
        return this.#move(request, "TRANSFER", from.id, to.id, request.amount, false);
      }
      case "adjust": {
        const { account, amount } = request;
        return amount > 0
          ? this.#move(request, "ADJUSTMENT", undefined, account, amount, true)
          : this.#move(request, "ADJUSTMENT", account, undefined, -amount, true);
      }
      case "refund":
        return this.#refund(request);
    }
  }

  #refund(request: Extract<Request, { rpc: "refund" }>): Answer {
    const original = this.#done.get(request.of)!;
    const gave = original.from === request.account;
    if (!gave && original.to !== request.account) return { refused: "NOT_FOUND" };
    if (original.request.rpc === "refund" || original.refunded) return { refused: "FINAL_STATE" };
    const due = request.amount === 0 ? original.amount : gave ? request.amount : -request.amount;
    if (due <= 0 || due > original.amount) return { refused: "INVALID_FIELD" };
    const answer = this.#move(request, "REFUND", original.to, original.from, due, true);
    if (!("refused" in answer)) original.refunded = true;
    return answer;
  }

  #move(
    request: Request,
    kind: string,
    from: string | undefined,
    to: string | undefined,
    amount: number,
    mayOverdraw: boolean,
  ): Answer {
    if (from !== undefined && !mayOverdraw) {
      const spendable = this.#balance(from) + (this.creditLimits.get(from) ?? 0);
      if (spendable < amount) return { refused: "CREDIT_EXHAUSTED" };
    }
    if (from !== undefined) this.balances.set(from, this.#balance(from) - amount);
    if (to !== undefined) this.balances.set(to, this.#balance(to) + amount);
    this.#done.set(request.key, { request, from, to, amount, refunded: false });
    return { kind, amount, from: from && this.#balance(from), to: to && this.#balance(to) } as Answer;
  }

  #balance(account: string): number {
    return this.balances.get(account) ?? 0;
  }
}
