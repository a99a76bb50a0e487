/**
 * metering's own transfers without an API in front: clients that each have one on its way, through the loop that makes
 * of all of them one transaction after another. Prints what it did as JSON.
 *
 * node move-money.ts '<the options of single-transfers.ts as JSON>'
 */
import { ChangeLog, openDatabase } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { micros } from "../../services/metering/src/domain/money.ts";
import { MoneyLoop } from "../../services/metering/src/domain/money-loop.ts";
import { PostgresMoneyStore } from "../../services/metering/src/storage/money-store.ts";
import { latenciesOf } from "./latencies.ts";
import type { SingleTransfersOptions, SingleTransfersReport } from "./single-transfers.ts";

const options: SingleTransfersOptions = JSON.parse(process.argv[2]!);
const { databaseUrl, clients, seconds, from, to, organization } = options;
const dataSource = await openDatabase({ url: databaseUrl, schema: "metering", entities: [], migrations: [] });
const loop = new MoneyLoop(new PostgresMoneyStore(new ChangeLog({ dataSource, source: "metering" })));
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
await dataSource.destroy();

async function transferUntilEnd(client: number): Promise<void> {
  const actor = { keyId: "", accountId: from };
  for (let n = client; performance.now() < endMs; n++) {
    const sentMs = performance.now();
    const id = mintId("txn");
    await loop.move({
      id,
      name: { accountId: from, idempotencyKey: id, digest: "digest" },
      actor,
      order: {
        kind: "TRANSFER",
        organizationId: organization,
        currency: "USD",
        from: { accountId: from },
        to: { accountId: to[n % to.length]! },
        amount: micros(1),
        reference: "",
        reason: "",
      },
    });
    latenciesUs.push(Math.round((performance.now() - sentMs) * 1000));
  }
}
