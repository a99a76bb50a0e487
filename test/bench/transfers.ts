/**
 * Transfers out of one hot wallet by 32 clients: coalesced, as metering does, beside the same writes as one transaction
 * each, by hand; both without an API in front. And through the API. In turns, on the same tables.
 */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { AccountService } from "@gatehouse/proto/identity";
import { CreditService, TransferRequestSchema } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import { type Deployment, deploy, fromRoot, MEASURED_CORE, runBeside, start } from "./deployment.ts";
import { LATENCY_HEAD, type Latencies, latenciesIn, latencyCells, ofLatencies } from "./latencies.ts";
import type { LoadOptions, LoadReport } from "./load.ts";
import { median } from "./rounds.ts";
import type { SingleTransfersOptions, SingleTransfersReport } from "./single-transfers.ts";
import { heading, table } from "./table.ts";
import { timely } from "./warm-keys.ts";

const CLIENTS = 32;
const RECEIVERS = 8;
const SECONDS = 4;
const WARM_UP_SECONDS = 3;
const ROUNDS = 5;
/** More than a round of either makes: a request that comes again would be answered from its key. */
const REQUESTS = 100_000;

interface Stretch extends Latencies {
  readonly perSecond: number;
}

export interface TransfersReport {
  readonly bench: "transfers";
  readonly settings: Record<string, string | number>;
  readonly coalesced: Stretch;
  readonly single: Stretch;
  readonly api: Stretch;
  /** Coalesced ones to single ones. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

export async function benchTransfers(): Promise<TransfersReport> {
  const deployment = await deploy({ meteringCore: MEASURED_CORE });
  try {
    const accounts = await makeAccounts(deployment);
    const rounds: { coalesced: Stretch; single: Stretch; api: Stretch }[] = [];
    await throughApi(deployment, accounts, WARM_UP_SECONDS);
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push({
        coalesced: await inProcess("move-money", deployment, accounts),
        single: await inProcess("single-transfers", deployment, accounts),
        api: await throughApi(deployment, accounts, SECONDS),
      });
    }
    const ratios = rounds.map((round) => round.coalesced.perSecond / round.single.perSecond);
    return {
      bench: "transfers",
      settings: {
        node: process.version,
        clients: CLIENTS,
        receivers: RECEIVERS,
        seconds: SECONDS,
        rounds: ROUNDS,
        fsync: "on",
      },
      coalesced: medianStretch(rounds.map((round) => round.coalesced)),
      single: medianStretch(rounds.map((round) => round.single)),
      api: medianStretch(rounds.map((round) => round.api)),
      ratio: median(ratios),
      ratios,
    };
  } finally {
    await deployment.stop();
  }
}

export function transfersTable({ settings, ratio, ratios, ...by }: TransfersReport): string {
  const row = (name: string, of: Stretch) => [name, of.perSecond, ...latencyCells(of)];
  return [
    heading("Transfers out of one hot wallet", settings),
    table(
      ["", "transfers/s", ...LATENCY_HEAD],
      [
        row("coalesced", by.coalesced),
        row("a transaction each, by hand", by.single),
        row("coalesced, through the API", by.api),
      ],
    ),
    `ratio ${ratio.toFixed(2)} (median of ${ratios.map((each) => each.toFixed(2)).join(" ")})`,
  ].join("\n");
}

interface Accounts {
  readonly organization: string;
  readonly to: readonly string[];
}

async function makeAccounts({ rootKey, identity, metering }: Deployment): Promise<Accounts> {
  const headers = { "x-api-key": rootKey };
  const accounts = grpcClient(AccountService, identity, { headers });
  const credits = grpcClient(CreditService, metering, { headers });
  const organization = (await accounts.createAccount({ name: "Bench" }, timely)).account!.id;
  const to: string[] = [];
  const money = { amount: 1_000_000_000_000n, currency: "USD" };
  await credits.topUp({ account: organization, ...money }, timely);
  for (let i = 0; i < RECEIVERS; i++) {
    const { account } = await accounts.createAccount({ parent: organization, name: `Team ${i}` }, timely);
    to.push(account!.id);
    await credits.topUp({ account: account!.id, ...money, amount: 1n }, timely);
  }
  accounts.close();
  credits.close();
  return { organization, to };
}

let files = 0;

async function throughApi(
  { metering, rootKey, directory }: Deployment,
  { organization, to }: Accounts,
  seconds: number,
): Promise<Stretch> {
  const file = join(directory, `transfers-${files++}`);
  const lines = Array.from({ length: REQUESTS }, (_, i) => {
    const request = {
      from: organization,
      to: to[i % to.length]!,
      amount: 1n,
      currency: "USD",
      idempotencyKey: `${files} ${i}`,
    };
    const bytes = toBinary(TransferRequestSchema, create(TransferRequestSchema, request));
    return Buffer.from(bytes).toString("base64");
  });
  await writeFile(file, lines.join("\n"));
  const options: LoadOptions = {
    address: metering,
    path: `/${CreditService.typeName}/${CreditService.method.transfer.name}`,
    file,
    inFlight: CLIENTS,
    seconds,
    authorization: `Bearer ${rootKey}`,
  };
  const report: LoadReport = JSON.parse(
    await runBeside([fromRoot("test/bench/load.ts"), JSON.stringify(options)]),
  );
  const answered = Object.values(report.codes).reduce((sum, count) => sum + count, 0);
  if (answered < report.calls || report.calls >= REQUESTS) {
    throw new Error(`of ${report.calls} transfers ${answered} were answered`);
  }
  return { ...latenciesIn(report), perSecond: report.calls / report.elapsedSeconds };
}

/** Runs a program that moves money and prints a report. */
async function inProcess(
  program: "move-money" | "single-transfers",
  { databaseUrl }: Deployment,
  { organization, to }: Accounts,
): Promise<Stretch> {
  const options: SingleTransfersOptions = {
    databaseUrl,
    clients: CLIENTS,
    seconds: SECONDS,
    from: organization,
    to,
    organization,
  };
  const child = start(MEASURED_CORE, [fromRoot(`test/bench/${program}.ts`), JSON.stringify(options)], {});
  const [text] = await Promise.all([child.stdout!.toArray(), once(child, "exit")]);
  const report: SingleTransfersReport = JSON.parse(Buffer.concat(text).toString());
  return { ...latenciesIn(report), perSecond: report.transfers / report.elapsedSeconds };
}

function medianStretch(stretches: readonly Stretch[]): Stretch {
  const perSecond = median(stretches.map((stretch) => stretch.perSecond));
  return { ...ofLatencies(stretches, median), perSecond };
}
