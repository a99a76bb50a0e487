/** The two traces with the prices that tests give them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HandCall } from "./by-hand.ts";

export interface PricedTrace {
  readonly organization: string;
  /** `requests` first. */
  readonly meters: readonly string[];
  /** What its calls ask for. */
  readonly resource: string;
  /** What its prices are for. */
  readonly pattern: string;
  readonly currency: string;
  /** By meter; what is not there is free. */
  readonly prices: Readonly<Record<string, { readonly price: bigint; readonly perUnits: bigint }>>;
  /** The meter of which departments have a quota. */
  readonly bounded: string;
  /** How it is replayed. */
  readonly args: readonly string[];
  /** What the real one comes to, by meter. */
  readonly totals: readonly bigint[];
  readonly text: () => Promise<string>;
}

/** The folder of the reference traces, which are not part of the project; elsewhere made ones of their shape do. */
export const TRACES = process.env.GATEHOUSE_TRACES;
const MADE_CALLS = 3000;
const MILLION = 1_000_000n;

export const pricedTraces: readonly PricedTrace[] = [
  {
    organization: "Models",
    meters: ["requests", "context", "generated"],
    resource: "",
    pattern: "",
    currency: "USD",
    // Dollars a million tokens: 0.15 and 0.60.
    prices: {
      context: { price: 150_000n, perUnits: MILLION },
      generated: { price: 600_000n, perUnits: MILLION },
    },
    bounded: "generated",
    args: ["--meters", "context=ContextTokens,generated=GeneratedTokens"],
    totals: [19_366n, 22_361_870n, 4_088_665n],
    text: () => textOf("azure-llm-inference-trace-conv.csv", madeCsv),
  },
  {
    organization: "Site",
    meters: ["requests", "bytes"],
    resource: "site.get",
    pattern: "site.**",
    currency: "credits",
    // Credits: 0.60 a million requests, 0.09 a billion bytes.
    prices: {
      requests: { price: 600_000n, perUnits: MILLION },
      bytes: { price: 90_000n, perUnits: 1000n * MILLION },
    },
    bounded: "bytes",
    args: [],
    totals: [10_000n, 2_747_282_740n],
    text: () => textOf("apache-access.log", madeLog),
  },
];

/** In micros: of each meter to the last whole one, as one replica that was never restarted charges them. */
export function costOf({ prices }: PricedTrace, meter: string, units: bigint): bigint {
  const { price, perUnits } = prices[meter] ?? { price: 0n, perUnits: 1n };
  return (units * price) / perUnits;
}

/** Units of one meter, by its place. */
export function total(calls: readonly HandCall[], meter: number): bigint {
  return calls.reduce((sum, { units }) => sum + units[meter]!, 0n);
}

function textOf(file: string, made: () => string): Promise<string> {
  return TRACES === undefined ? Promise.resolve(made()) : readFile(join(TRACES, file), "utf8");
}

function madeCsv(): string {
  const row = (i: number) => `2023-11-16 18:15:46.${i},${(i * 7919) % 4096},${(i * 104_729) % 1024}`;
  return ["TIMESTAMP,ContextTokens,GeneratedTokens", ...each(row)].join("\r\n");
}

function madeLog(): string {
  const size = (i: number) => (i % 15 === 0 ? "-" : (i * 104_729) % 500_000);
  const line = (i: number) =>
    `10.0.${i % 7}.${i % 101} - - [17/May/2015:10:05:03 +0000] "GET /${i} HTTP/1.1" 200 ${size(i)} "-" "-"\n`;
  return each(line).join("");
}

function each(line: (i: number) => string): string[] {
  return Array.from({ length: MADE_CALLS }, (_, i) => line(i));
}
