import type { Tx } from "@gatehouse/changefeed";
import { holderOf, type ProducerEpoch } from "../domain/usage.ts";
import { holderGate } from "./holder-gate.ts";

/** Notes that the epoch has ended, after every acquire of it that is under way. Answers whether it had not before. */
export async function endEpoch(tx: Tx, epoch: ProducerEpoch): Promise<boolean> {
  const holder = holderOf(epoch);
  await tx.gate({ changed: [holderGate(holder)] });
  const rows = await tx.manager.query<unknown[]>(
    "INSERT INTO ended_holder (holder) VALUES ($1) ON CONFLICT DO NOTHING RETURNING holder",
    [holder],
  );
  return rows.length > 0;
}
