import type { Principal } from "@gatehouse/access";
import type { ChangeLog } from "@gatehouse/changefeed";
import type { Disposables, Histogram, Route } from "@gatehouse/service";
import type { DataSource } from "typeorm";
import type { StatementDependencies } from "./domain/get-statement.ts";
import type { Mirror } from "./domain/mirror.ts";
import { MoneyLoop } from "./domain/money-loop.ts";
import { creditRoute } from "./rpc/credit-service.ts";
import type { ClockOffset } from "./storage/clock.ts";
import { PostgresCreditStore } from "./storage/credit-store.ts";
import { PostgresCreditTermsStore } from "./storage/credit-terms-store.ts";
import { FilledWallets } from "./storage/filled-wallets.ts";
import { PostgresMoneyStore } from "./storage/money-store.ts";
import { PostgresPriceStore } from "./storage/price-store.ts";
import { PostgresStatementStore } from "./storage/statement-store.ts";

export interface MoneyOptions {
  readonly opened: Disposables;
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  /** For what is listed. */
  readonly work: DataSource;
  /** Of connections that no batch has: a transfer waits for its wallets, and for nothing else. */
  readonly quickLog: ChangeLog;
  readonly workLog: ChangeLog;
  readonly clockOffsetMs: ClockOffset;
  readonly waitMs: number | undefined;
  /** Of answers. */
  readonly waits: Histogram;
}

/** Wallets, the ledger and prices, wired up. */
export interface Money {
  readonly loop: MoneyLoop;
  readonly route: Route<Principal>;
  readonly filled: FilledWallets;
  readonly statements: StatementDependencies;
}

export function openMoney({
  opened,
  mirror,
  work,
  quickLog,
  workLog,
  clockOffsetMs,
  waitMs,
  waits,
}: MoneyOptions): Money {
  const store = new PostgresMoneyStore(quickLog, clockOffsetMs);
  const loop = new MoneyLoop(store, waitMs, (ms) => waits.observe(ms));
  opened.add("money", () => loop.close());
  const route = creditRoute({
    mirror,
    loop,
    credit: new PostgresCreditStore(work),
    terms: new PostgresCreditTermsStore(quickLog, clockOffsetMs),
    prices: new PostgresPriceStore(work, quickLog, clockOffsetMs),
  });
  const statements = {
    mirror,
    store: new PostgresStatementStore(workLog, clockOffsetMs),
    nowMs: () => Date.now() + clockOffsetMs(),
  };
  return { loop, route, filled: new FilledWallets(work), statements };
}
