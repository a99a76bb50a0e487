import { type KeyView, reaches } from "@gatehouse/access";
import { payerOf } from "@gatehouse/buckets";
import type { Mirror } from "./mirror.ts";
import { type NodeName, nodeInReach } from "./node-in-reach.ts";
import type { Balance } from "./read-balances.ts";
import type { WalletReadings } from "./wallet-readings.ts";

export interface DrawnBalanceDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly wallets: WalletReadings;
}

/**
 * What priced calls on a node draw on: the wallets of whoever pays for them, by currency. None where the payer is out of the
 * caller's reach. Throws Failure INVALID_ARGUMENT, NOT_FOUND.
 */
export async function drawnBalances(
  { mirror, wallets }: DrawnBalanceDependencies,
  caller: KeyView,
  named: NodeName | undefined,
): Promise<readonly Balance[]> {
  const { chain } = await nodeInReach(mirror, caller, named);
  const money = await wallets.readMoney(
    chain.map(({ id }) => id),
    "",
  );
  const payer = payerOf(money.map((of) => ({ id: of.accountId, ...of })));
  if (payer === undefined) return [];
  const above = chain.findIndex(({ id }) => id === payer.accountId);
  if (!reaches(caller, chain.slice(above))) return [];
  const { accountId, usesParentBalance } = payer;
  return payer.wallets
    .map(({ currency, balance, leased, creditLimit, creditGiven }) => {
      return { accountId, currency, balance, leased, creditLimit, creditGiven, usesParentBalance };
    })
    .sort((a, b) => (a.currency < b.currency ? -1 : 1));
}
