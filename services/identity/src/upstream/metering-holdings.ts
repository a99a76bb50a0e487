import { HoldingService } from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import { Failure, unavailable } from "@gatehouse/service/failure";
import type { Holding, Holdings } from "../domain/accounts/holdings.ts";

/** Above what metering allows itself to prove that it knows the account. */
const TIMEOUT_MS = 1000;
/** A thousand wallets, and what is lent of them to be returned. */
const MOVE_TIMEOUT_MS = 5000;

/**
 * What metering holds, asked over gRPC. It looks for metering at the first question: identity starts without it, and
 * works without it but for closing accounts.
 */
export class MeteringHoldings implements Holdings {
  readonly #addressOf: () => string | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  #client: GrpcClient<typeof HoldingService> | undefined;

  constructor(addressOf: () => string | undefined, serviceSecret: string) {
    this.#addressOf = addressOf;
    this.#headers = { authorization: `Bearer ${serviceSecret}` };
  }

  async of(accountId: string): Promise<readonly Holding[]> {
    const client = this.#connected();
    try {
      const { holdings } = await client.getHoldings({ accountId }, { timeoutMs: TIMEOUT_MS });
      return holdings.map(({ accountId, currency, amount, decisionId }) => ({
        accountId,
        currency: currency || undefined,
        amount,
        decisionId: decisionId || undefined,
      }));
    } catch (cause) {
      // Whatever kept it from answering: nobody knows now whether something is held.
      throw unavailable("metering could not say in time what it holds for the account", cause);
    }
  }

  async move(accountId: string, toAccountId: string, actorKeyId: string): Promise<void> {
    const client = this.#connected();
    try {
      await client.moveMoney({ accountId, toAccountId, actorKeyId }, { timeoutMs: MOVE_TIMEOUT_MS });
    } catch (cause) {
      // What metering has against it the caller can act on; anything else may pass.
      if (cause instanceof Failure && cause.code === "FAILED_PRECONDITION") throw cause;
      throw unavailable("metering could not move the account's money in time; try again", cause);
    }
  }

  close(): void {
    this.#client?.close();
  }

  #connected(): GrpcClient<typeof HoldingService> {
    const address = this.#addressOf();
    if (address === undefined) {
      throw unavailable("what metering holds is not known: GATEHOUSE_METERING_ADDRESS is not configured");
    }
    this.#client ??= grpcClient(HoldingService, address, { headers: this.#headers });
    return this.#client;
  }
}
