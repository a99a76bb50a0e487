import { setTimeout as pause } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@gatehouse/proto/common";
import { CreditService, type Transaction, TransactionKind, UsageService } from "@gatehouse/proto/metering";
import { Failure, type GrpcClient, grpcClient } from "@gatehouse/service";
import type { Answered, AskUntilAnswered } from "../../services/metering/test/ledger-lanes.ts";
import type { Request } from "../../services/metering/test/ledger-model.ts";
import { timely } from "../system/caller.ts";
import { USD } from "./money-books.ts";

/** What is reported, and what a unit of it costs in micros. */
export const METER = "reported";
export const PRICE = 3;
const SOURCE = "ledger-crashes";
/** Longer than anything is down. */
const ANSWERED_WITHIN_MS = 40_000;
const RETRY_MS = 20;

/** One replica of metering, as the provider asks it. */
export class LedgerClients {
  readonly #credits: GrpcClient<typeof CreditService>;
  readonly #usage: GrpcClient<typeof UsageService>;
  readonly #timeMs: number;

  /** `timeMs` is when all usage was: under the same id at another time it would be another event. */
  constructor(address: string, secret: string, timeMs: number) {
    this.#timeMs = timeMs;
    const headers = { "x-api-key": secret };
    this.#credits = grpcClient(CreditService, address, { headers });
    this.#usage = grpcClient(UsageService, address, { headers });
  }

  close(): void {
    this.#credits.close();
    this.#usage.close();
  }

  /** As clients do: what may pass is asked again, of the next replica. `onLost` is told each time. */
  static askUntilAnswered(replicas: readonly LedgerClients[], onLost: () => void): AskUntilAnswered {
    return async (replica, request, ids) => {
      const untilMs = performance.now() + ANSWERED_WITHIN_MS;
      for (let turn = replica; ; turn++) {
        try {
          return await replicas[turn % replicas.length]!.#ask(request, ids);
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          if (!mayPass(error)) return { answer: { refused: error.reason }, id: undefined };
          if (performance.now() > untilMs) throw error;
          onLost();
          await pause(RETRY_MS);
        }
      }
    };
  }

  async #ask(request: Request, ids: ReadonlyMap<string, string>): Promise<Answered> {
    const credits = this.#credits;
    const common = { currency: USD, idempotencyKey: request.key };
    switch (request.rpc) {
      case "topUp": {
        const body = { ...common, account: request.to, amount: BigInt(request.amount) };
        return movedBy(await credits.topUp(body, timely));
      }
      case "transfer": {
        const body = { ...common, from: request.from, to: request.to, amount: BigInt(request.amount) };
        return movedBy(await credits.transfer(body, timely));
      }
      case "adjust": {
        const { account, amount } = request;
        const body = { ...common, account, amount: BigInt(amount), reason: "put right" };
        return movedBy(await credits.adjust(body, timely));
      }
      case "refund": {
        const { account, amount, of } = request;
        const refund = { refundOf: ids.get(of)!, reason: "taken back", currency: "" };
        return movedBy(
          await credits.adjust({ ...common, account, amount: BigInt(amount), ...refund }, timely),
        );
      }
      case "setCreditLimit": {
        const { account, amount } = request;
        const body = { account, currency: USD, creditLimit: BigInt(amount) };
        return termsOf((await credits.setCreditLimit(body, timely)).balance!);
      }
      case "getBalance":
        return termsOf(
          (await credits.getBalance({ account: request.account, currency: USD }, timely)).balance!,
        );
      case "report":
        return this.#report(request);
    }
  }

  async #report({ account, units, key }: Extract<Request, { rpc: "report" }>): Promise<Answered> {
    const event = { id: key, meter: METER, units: BigInt(units), time: timestampFromMs(this.#timeMs) };
    const { booked, duplicates, errors } = await this.#usage.reportUsage(
      { source: SOURCE, events: [{ ...event, node: { case: "account", value: account } }] },
      timely,
    );
    const [error] = errors;
    if (error?.reason === ErrorReason.SOURCE_UNAVAILABLE) {
      throw new Failure({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE", message: error.message });
    }
    if (error !== undefined) return { answer: { refused: ErrorReason[error.reason] }, id: undefined };
    if (booked + duplicates !== 1) throw new Error(`${booked} booked, ${duplicates} duplicates, of one`);
    return { answer: { kind: "USAGE", amount: units, from: undefined, to: undefined }, id: undefined };
  }
}

function mayPass({ code, reason }: Failure): boolean {
  return code === "UNAVAILABLE" || code === "DEADLINE_EXCEEDED" || reason === "BUSY";
}

function movedBy({ transaction }: { transaction?: Transaction | undefined }): Answered {
  const { id, kind, amount, ...moved } = transaction!;
  const from = moved.fromAccountId === "" ? undefined : Number(moved.fromBalance);
  const to = moved.toAccountId === "" ? undefined : Number(moved.toBalance);
  return { answer: { kind: TransactionKind[kind], amount: Number(amount), from, to }, id };
}

function termsOf({ amount, creditLimit }: { amount: bigint; creditLimit: bigint }): Answered {
  const answer = { kind: "BALANCE", amount: Number(creditLimit), from: Number(amount), to: undefined };
  return { answer, id: undefined };
}
