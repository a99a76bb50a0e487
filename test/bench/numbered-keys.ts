/** Keys that follow from a number: whoever knows the pepper knows them all, and nobody has to store them. */
import { KeyFormat, parsePepper } from "@gatehouse/keys";

const ID_LENGTH = 20;
const SECRET_LENGTH = 43;
const ACCOUNTS = 1000;

export interface NumberedKeys {
  presented(n: number): string;
  /** The number of a key's id. */
  numberOf(keyId: string): number;
  /** Of the account that it is in: the provider's for 0, whose key asks about the others. */
  accountOf(n: number): string;
}

export const ROOT = accountId(0);
export const ORGANIZATION = accountId(1);

export function numberedKeys(pepper: string): NumberedKeys {
  const format = new KeyFormat({ peppers: [parsePepper(pepper)] });
  return {
    presented: (n) => {
      const id = digits(n, ID_LENGTH);
      return format.tagged(`gth_${n === 0 ? "mst" : "acc"}_${id}${digits(n, SECRET_LENGTH)}`);
    },
    numberOf: (keyId) => Number(keyId.slice("key_".length)),
    accountOf: (n) => (n === 0 ? ROOT : accountId(2 + (n % ACCOUNTS))),
  };
}

function accountId(n: number): string {
  return `acc_${digits(n, ID_LENGTH)}`;
}

function digits(n: number, length: number): string {
  return String(n).padStart(length, "0");
}
