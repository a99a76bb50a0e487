/** metering that dies at the statement of a batch's transaction that FAULT_FILE names. */
import pg from "pg";
import { die, type Fault, readFault } from "./fault.ts";

/** What a batch's transaction says to the database, in its order. */
const steps: Readonly<Record<string, RegExp>> = {
  "lock the epoch": /^INSERT INTO producer_epoch/,
  "book leases": /^UPDATE quota_lease SET spent/,
  "book draws": /^UPDATE quota_bucket SET spent = .*\bd\.spent/,
  "book usage": /INSERT INTO usage_minute/,
  "note the batch": /^INSERT INTO ingested_batch/,
  "expect the next": /^UPDATE producer_epoch SET next_sequence/,
  commit: /COMMIT$/,
};

const fault = readFault();
/** Connections whose transaction is a batch's that came as far as to be noted. */
const noted = new WeakSet<object>();
/** Those whose transaction has booked usage. */
const booked = new WeakSet<object>();
const { query } = pg.Client.prototype as unknown as {
  query: (this: object, ...parameters: unknown[]) => unknown;
};

function isAt(client: object, text: string, ...ways: Fault["when"][]): boolean {
  if (fault === undefined || !ways.includes(fault.when) || !steps[fault.step]!.test(text)) return false;
  return fault.step !== "commit" || noted.has(client);
}

pg.Client.prototype.query = function (this: object, ...parameters: unknown[]) {
  const [statement] = parameters as [string | { readonly text?: string }];
  const text = (typeof statement === "string" ? statement : (statement.text ?? "")).trim();
  if (isAt(this, text, "before")) die();
  const isNote = steps["note the batch"]!.test(text) || steps["expect the next"]!.test(text);
  const isForgotten = isNote && fault?.forgets === true && booked.has(this);
  const answer = query.apply(this, isForgotten ? ["SELECT 1", [], ...parameters.slice(2)] : parameters);
  // On its way, and nobody here hears what became of it.
  if (isAt(this, text, "within")) setImmediate(die);
  if (isAt(this, text, "after")) void (answer as Promise<unknown>).then(die);
  if (steps["book usage"]!.test(text)) booked.add(this);
  if (steps["note the batch"]!.test(text) && (isForgotten || fault?.forgets !== true)) noted.add(this);
  if (steps.commit!.test(text)) for (const connections of [noted, booked]) connections.delete(this);
  return answer;
} as typeof pg.Client.prototype.query;

await import("../../services/metering/src/main.ts");
