/**
 * Warm Verify beside a bare grpc-js echo of the same messages, in one run: servers take turns on one core, the
 * load runs on the other. What is compared is the processor time of a call, which does not depend on how fast
 * the load can ask; the throughput is shown beside it.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AuthzService,
  DecisionCode,
  VerifyRequestSchema,
  VerifyResponseSchema,
} from "@gatehouse/proto/authz";
import { AccountService, KeyService } from "@gatehouse/proto/identity";
import { LimitService, Window } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import {
  cpuSeconds,
  type Deployment,
  deploy,
  end,
  fromRoot,
  runBeside,
  startMeasured,
} from "./deployment.ts";

const KEYS = 1000;
const IN_FLIGHT = 64;
/** grpc-js doubles its speed while the compiler warms up. */
const WARM_SECONDS = 6;
const ROUND_SECONDS = 3;
const ROUNDS = 5;
const PLENTY = 1_000_000_000n;
const timely = { timeoutMs: 30_000 };

interface Round {
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly cpuMicrosPerCall: number;
  readonly coreBusy: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

export interface VerifyReport {
  readonly bench: "verify";
  /** The echo's processor time per call, divided by Verify's. */
  readonly ratio: number;
  readonly throughputRatio: number;
  readonly settings: Record<string, string | number>;
  readonly echo: Round;
  readonly verify: Round;
  /** Each pair of rounds. */
  readonly ratios: readonly number[];
}

export async function benchVerify(): Promise<VerifyReport> {
  const deployment = await deploy();
  try {
    const { requests, response } = await prepare(deployment);
    const echo = await startMeasured([fromRoot("test/bench/echo-server.ts"), response]);
    try {
      const ask = (address: string, seconds: number) => load(address, requests, seconds, deployment.rootKey);
      await ask(echo.address, WARM_SECONDS);
      await ask(deployment.authz, WARM_SECONDS);
      const rounds: { echo: Round; verify: Round }[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        rounds.push({
          echo: await measured(echo.child, () => ask(echo.address, ROUND_SECONDS)),
          verify: await measured(deployment.authzProcess, () => ask(deployment.authz, ROUND_SECONDS)),
        });
      }
      return report(rounds);
    } finally {
      await end(echo.child);
    }
  } finally {
    await deployment.stop();
  }
}

/** An organization, a subaccount and its keys, each with a rate and a quota; and the messages as files. */
async function prepare({ rootKey, identity, authz, metering, directory }: Deployment) {
  const headers = { "x-api-key": rootKey };
  const accounts = grpcClient(AccountService, identity, { headers });
  const keys = grpcClient(KeyService, identity, { headers });
  const limits = grpcClient(LimitService, metering, { headers });
  const verifier = grpcClient(AuthzService, authz, { headers });
  const limit = async (node: { case: "account" | "key"; value: string }) => {
    const rate = {
      case: "rate" as const,
      value: { units: PLENTY, interval: { seconds: 1n }, burst: PLENTY },
    };
    const quota = { case: "quota" as const, value: { units: PLENTY, window: Window.MONTH } };
    await limits.setLimit({ node, allowance: rate }, timely);
    await limits.setLimit({ node, allowance: quota }, timely);
  };
  const organization = (await accounts.createAccount({ name: "Bench" }, timely)).account!.id;
  const requests: string[] = [];
  let account = "";
  for (let i = 0; i < KEYS; i++) {
    // A plan allows 100 keys an account.
    if (i % 100 === 0) {
      const created = await accounts.createAccount({ parent: organization, name: `Team ${i}` }, timely);
      account = created.account!.id;
      await limit({ case: "account", value: account });
    }
    if (i % 100 === 99) continue;
    const { key, secret } = await keys.createKey(
      { account, name: `bench ${i}`, scopes: ["weather.**"] },
      timely,
    );
    await limit({ case: "key", value: key!.id });
    requests.push(secret);
  }
  await limit({ case: "account", value: organization });
  const request = (key: string) => create(VerifyRequestSchema, { key, resource: "weather.read" });
  const lines = requests.map((key) =>
    Buffer.from(toBinary(VerifyRequestSchema, request(key))).toString("base64"),
  );
  const paths = { requests: join(directory, "requests"), response: join(directory, "response") };
  await writeFile(paths.requests, lines.join("\n"));
  let answer = await verifier.verify(request(requests[0]!), timely);
  for (const key of requests) answer = await verifier.verify(request(key), timely);
  if (answer.code !== DecisionCode.VALID)
    throw new Error(`a warm-up call was answered ${DecisionCode[answer.code]}`);
  await writeFile(paths.response, Buffer.from(toBinary(VerifyResponseSchema, answer)).toString("base64"));
  for (const client of [accounts, keys, limits, verifier]) client.close();
  return paths;
}

async function load(address: string, file: string, seconds: number, key: string) {
  const { method } = AuthzService;
  const path = `/${AuthzService.typeName}/${method.verify.name}`;
  const args = [address, path, file, String(IN_FLIGHT), String(seconds), `Bearer ${key}`];
  const report = JSON.parse(await runBeside([fromRoot("test/bench/load.ts"), ...args]));
  if (report.failed > 0) throw new Error(`${report.failed} of ${report.calls} calls failed`);
  return report as Pick<Round, "calls" | "p50Us" | "p99Us" | "p999Us"> & { elapsedSeconds: number };
}

async function measured(
  child: Parameters<typeof cpuSeconds>[0],
  run: () => ReturnType<typeof load>,
): Promise<Round> {
  const before = await cpuSeconds(child);
  const { calls, elapsedSeconds, p50Us, p99Us, p999Us } = await run();
  const used = (await cpuSeconds(child)) - before;
  return {
    calls,
    callsPerSecond: calls / elapsedSeconds,
    cpuMicrosPerCall: (used * 1e6) / calls,
    coreBusy: used / elapsedSeconds,
    p50Us,
    p99Us,
    p999Us,
  };
}

function report(rounds: readonly { echo: Round; verify: Round }[]): VerifyReport {
  const ratios = rounds.map(({ echo, verify }) => echo.cpuMicrosPerCall / verify.cpuMicrosPerCall);
  const echo = medianRound(rounds.map((round) => round.echo));
  const verify = medianRound(rounds.map((round) => round.verify));
  return {
    bench: "verify",
    ratio: median(ratios),
    throughputRatio: verify.callsPerSecond / echo.callsPerSecond,
    settings: {
      node: process.version,
      keys: KEYS,
      bucketsPerCall: 6,
      inFlight: IN_FLIGHT,
      rounds: ROUNDS,
      roundSeconds: ROUND_SECONDS,
      spool: "cache",
    },
    echo,
    verify,
    ratios,
  };
}

function medianRound(rounds: readonly Round[]): Round {
  const of = (field: keyof Round) => median(rounds.map((round) => round[field]));
  return {
    calls: of("calls"),
    callsPerSecond: of("callsPerSecond"),
    cpuMicrosPerCall: of("cpuMicrosPerCall"),
    coreBusy: of("coreBusy"),
    p50Us: of("p50Us"),
    p99Us: of("p99Us"),
    p999Us: of("p999Us"),
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
