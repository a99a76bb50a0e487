/**
 * One transaction per transfer, as one would write it by hand on the same tables: clients with a connection each lock
 * the two wallets, judge, and write balances, the ledger's row and the idempotency key. Prints what it did as JSON.
 *
 * node single-transfers.ts '<the options below as JSON>'
 */
import { mintId } from "@gatehouse/keys";
import pg from "pg";
import { type Latencies, latenciesOf } from "./latencies.ts";

export interface SingleTransfersOptions {
  readonly databaseUrl: string;
  readonly clients: number;
  readonly seconds: number;
  /** The hot wallet's account, and those that it pays. */
  readonly from: string;
  readonly to: readonly string[];
  readonly organization: string;
}

export interface SingleTransfersReport extends Latencies {
  readonly transfers: number;
  readonly elapsedSeconds: number;
}

const options: SingleTransfersOptions = JSON.parse(process.argv[2]!);
const { databaseUrl, clients, seconds, from, to, organization } = options;
const beganMs = performance.now();
const endMs = beganMs + seconds * 1000;
const latenciesUs: number[] = [];
await Promise.all(Array.from({ length: clients }, (_, i) => transferUntilEnd(i)));
const report: SingleTransfersReport = {
  transfers: latenciesUs.length,
  elapsedSeconds: (performance.now() - beganMs) / 1000,
  ...latenciesOf(latenciesUs),
};
console.log(JSON.stringify(report));

async function transferUntilEnd(client: number): Promise<void> {
  const connection = new pg.Client({
    connectionString: databaseUrl,
    options: "-c search_path=metering",
  });
  await connection.connect();
  for (let n = client; performance.now() < endMs; n++) {
    const sentMs = performance.now();
    await transfer(connection, to[n % to.length]!);
    latenciesUs.push(Math.round((performance.now() - sentMs) * 1000));
  }
  await connection.end();
}

async function transfer(connection: pg.Client, receiver: string): Promise<void> {
  await connection.query("BEGIN");
  const { rows } = await connection.query<{ id: string; account_id: string; balance: string }>({
    name: "lock",
    text: `SELECT id, account_id, balance FROM wallet
           WHERE account_id = ANY($1) AND currency = 'USD' ORDER BY id FOR UPDATE`,
    values: [[from, receiver]],
  });
  const giver = rows.find((row) => row.account_id === from)!;
  const taker = rows.find((row) => row.account_id === receiver)!;
  if (BigInt(giver.balance) < 1n) throw new Error("the hot wallet is empty");
  await connection.query({
    name: "move",
    text: `WITH given AS (UPDATE wallet SET balance = balance - 1, moved_at = clock_timestamp() WHERE id = $1 RETURNING balance),
       taken AS (UPDATE wallet SET balance = balance + 1, moved_at = clock_timestamp() WHERE id = $2 RETURNING balance),
       named AS (INSERT INTO money_request (account_id, idempotency_key, digest, transfer_id) VALUES ($3, $4, 'digest', $4))
       INSERT INTO ledger_transfer (id, at, kind, organization_id, currency, from_wallet, to_wallet, amount,
         from_balance, to_balance)
       SELECT $4, clock_timestamp(), 'TRANSFER', $5, 'USD', $1, $2, 1, given.balance, taken.balance FROM given, taken`,
    values: [giver.id, taker.id, from, mintId("txn"), organization],
  });
  await connection.query("COMMIT");
}
