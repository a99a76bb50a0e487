import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import { CreditService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import type { Mirror } from "../domain/mirror.ts";
import type { MoneyLoop } from "../domain/money-loop.ts";
import { adjust, topUp, transfer } from "../domain/move-money.ts";
import { type BalanceStore, getBalance, listBalances } from "../domain/read-balances.ts";
import { type EntryStore, listTransactions } from "../domain/read-entries.ts";
import { type CreditTermsStore, setBalanceSource, setCreditLimit } from "../domain/set-credit.ts";
import { listPrices, type PriceStore, setPrice } from "../domain/set-price.ts";
import { balanceMessage, entryMessage, kindOf, movedMessage, priceMessage } from "./credit-wire.ts";

export interface CreditServiceDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly loop: MoneyLoop;
  readonly credit: BalanceStore & EntryStore;
  readonly terms: CreditTermsStore;
  readonly prices: PriceStore;
}

export function creditRoute(dependencies: CreditServiceDependencies): Route<Principal> {
  const { mirror, loop } = dependencies;
  const credit = { mirror, store: dependencies.credit };
  const terms = { mirror, store: dependencies.terms };
  const prices = { mirror, store: dependencies.prices };
  return route<typeof CreditService, Principal>(CreditService, {
    async topUp(request, { principal }) {
      return movedMessage(await topUp({ mirror, loop }, principal.view, request));
    },

    async transfer(request, { principal }) {
      return movedMessage(await transfer({ mirror, loop }, principal.view, request));
    },

    async adjust(request, { principal }) {
      return movedMessage(await adjust({ mirror, loop }, principal.view, request));
    },

    async getBalance({ account, currency, at }, { principal }) {
      const atMs = at && timestampMs(at);
      const balance = await getBalance(credit, principal.view, { account, currency, atMs });
      return { balance: balanceMessage(balance, atMs === undefined) };
    },

    async listBalances(request, { principal }) {
      const { rows, nextPageToken } = await listBalances(credit, principal.view, request);
      return { balances: rows.map((balance) => balanceMessage(balance)), nextPageToken };
    },

    async listTransactions({ start, end, ...request }, { principal }) {
      const draft = {
        ...request,
        kinds: request.kinds.map(kindOf),
        startMs: start && timestampMs(start),
        endMs: end && timestampMs(end),
      };
      const { rows, nextPageToken } = await listTransactions(credit, principal.view, draft);
      return { transactions: rows.map(entryMessage), nextPageToken };
    },

    async setPrice({ price: micros, effectiveAt, ...request }, { principal }) {
      const draft = { ...request, micros, effectiveAtMs: effectiveAt && timestampMs(effectiveAt) };
      const { price, freshness } = await setPrice(prices, principal.view, draft);
      return { price: priceMessage(price), freshness };
    },

    async listPrices(request, { principal }) {
      const { rows, nextPageToken } = await listPrices(prices, principal.view, request);
      return { prices: rows.map(priceMessage), nextPageToken };
    },

    async setBalanceSource({ account, usesParentBalance }, { principal }) {
      const set = await setBalanceSource(terms, principal.view, { account, usesParentBalance });
      return { ...set, usesParentBalance };
    },

    async setCreditLimit(request, { principal }) {
      const { balance, freshness } = await setCreditLimit(terms, principal.view, request);
      return { balance: balanceMessage(balance), freshness };
    },
  });
}
