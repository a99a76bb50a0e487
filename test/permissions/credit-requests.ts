import type { Requests } from "./request.ts";

const CREDITS = "metering.v1.CreditService";
const MONEY = { amount: "1000000", currency: "USD" };

/** Money of the organization's subaccount, or that comes to it. */
export const creditRequests: Requests = {
  [`${CREDITS}/TopUp`]: ({ subaccount }) => ({ account: subaccount, ...MONEY }),
  [`${CREDITS}/Transfer`]: async ({ made, organization, subaccount }) => {
    await made(`${CREDITS}/TopUp`, { account: subaccount, ...MONEY });
    return { from: subaccount, to: organization, ...MONEY };
  },
  [`${CREDITS}/GetBalance`]: ({ subaccount }) => ({ account: subaccount, currency: "USD" }),
  [`${CREDITS}/ListBalances`]: ({ subaccount }) => ({ account: subaccount, descendants: true }),
  [`${CREDITS}/ListTransactions`]: ({ subaccount }) => ({ account: subaccount, descendants: true }),
  "metering.v1.UsageService/GetStatement": ({ subaccount }) => ({ account: subaccount, period: "2026-01" }),
  [`${CREDITS}/Adjust`]: ({ subaccount }) => ({ account: subaccount, reason: "put right", ...MONEY }),
  [`${CREDITS}/Adjust:refund`]: async ({ made, subaccount }) => {
    const { transaction } = await made(`${CREDITS}/TopUp`, { account: subaccount, ...MONEY });
    return { account: subaccount, reason: "taken back", refund_of: transaction.id };
  },
  [`${CREDITS}/SetPrice`]: () => ({ meter: "requests", resource: "priced.**", currency: "USD", price: "0" }),
  [`${CREDITS}/ListPrices`]: () => ({}),
  [`${CREDITS}/SetBalanceSource`]: ({ subaccount }) => ({ account: subaccount }),
  [`${CREDITS}/SetCreditLimit`]: ({ subaccount }) => ({
    account: subaccount,
    currency: "USD",
    credit_limit: "0",
  }),
};
