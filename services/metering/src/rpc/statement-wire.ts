import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { StatementSchema } from "@gatehouse/proto/metering";
import type { Statement } from "../domain/get-statement.ts";
import type { StatedBalance, UsageLine } from "../domain/statement.ts";

export function statementMessage(statement: Statement): MessageInitShape<typeof StatementSchema> {
  const { accountId, period, isFinal, balances, usage, adjustments } = statement;
  return {
    accountId,
    start: timestampFromMs(period.startMs),
    end: timestampFromMs(period.endMs),
    final: isFinal,
    balances: balances.map(balanceMessage),
    usage: usage.map(usageMessage),
    adjustments: adjustments.map(({ startMs, endMs, ...line }) => ({
      start: timestampFromMs(startMs),
      end: timestampFromMs(endMs),
      usage: usageMessage(line),
    })),
  };
}

function balanceMessage({ currency, opening, closing, sums }: StatedBalance) {
  return {
    currency,
    opening,
    closing,
    topUps: sums.TOP_UP ?? 0n,
    transfers: sums.TRANSFER ?? 0n,
    usage: sums.USAGE ?? 0n,
    refunds: sums.REFUND ?? 0n,
    adjustments: sums.ADJUSTMENT ?? 0n,
  };
}

function usageMessage({ accountId, meter, currency, units, cost }: UsageLine) {
  return { accountId, meter, currency, units, cost };
}
