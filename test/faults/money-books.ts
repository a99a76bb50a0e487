import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TransactionKind } from "@gatehouse/proto/metering";
import { type Caller, timely } from "../system/caller.ts";
import { until } from "../system/until.ts";

export const USD = "USD";
const HOUR_MS = 3_600_000;

/** What metering says of one wallet, in micros. */
export interface WalletState {
  readonly balance: number;
  readonly leased: number;
}

let made = 0;

export async function topUp(root: Caller, account: string, micros: number): Promise<void> {
  const payment = { reference: `payment ${++made}`, idempotencyKey: `top-up-${made}-${account}` };
  await root.credits.topUp({ account, amount: BigInt(micros), currency: USD, ...payment }, timely);
}

export async function walletOf(caller: Caller, account: string): Promise<WalletState> {
  const { balance } = await caller.credits.getBalance({ account, currency: USD }, timely);
  return { balance: Number(balance!.amount), leased: Number(balance!.leased) };
}

/** Waits until nothing is lent of a wallet: every replica has said what it spent. */
export async function settledWallet(caller: Caller, account: string): Promise<WalletState> {
  return until(
    `what is lent of the wallet of ${account} is accounted for`,
    async () => {
      const wallet = await walletOf(caller, account);
      return wallet.leased === 0 && wallet;
    },
    60_000,
  );
}

/** What usage cost below an account over the last hour, as usage says it and as the ledger does. */
export async function costsBelow(caller: Caller, account: string) {
  const [start, end] = [timestampFromMs(Date.now() - HOUR_MS), timestampFromMs(Date.now() + HOUR_MS)];
  const node = { case: "account", value: account } as const;
  const { rows } = await caller.usage.queryUsage({ node, descendants: true, start, end }, timely);
  const usage = rows.reduce((sum, { cost }) => sum + Number(cost), 0);
  return { usage, ledger: await postedBelow(caller, account) };
}

async function postedBelow(caller: Caller, account: string): Promise<number> {
  const kinds = [TransactionKind.USAGE, TransactionKind.REFUND];
  const request = { account, descendants: true, currency: USD, kinds, pageSize: 500 };
  let posted = 0;
  let pageToken = "";
  do {
    const page = await caller.credits.listTransactions({ ...request, pageToken }, timely);
    posted -= page.transactions.reduce((sum, { amount }) => sum + Number(amount), 0);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return posted;
}
