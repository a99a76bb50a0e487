/**
 * Warm Verify beside a bare grpc-js echo of the same messages, in one run: servers take turns on one core, the
 * load runs on the other. What is compared is the processor time of a call, which does not depend on how fast
 * the load can ask; the throughput is shown beside it. Then both are asked at half of what the echo can do, by a
 * clock and not by their answers: that is where latencies say something.
 */
import { DecisionCode } from "@gatehouse/proto/authz";
import { deploy, end, fromRoot, startMeasured, YOUNG_FLAGS } from "./deployment.ts";
import { load, measured, median, medianRound, type Round } from "./rounds.ts";
import { BUCKETS_PER_CALL, KEYS, makeKeys } from "./warm-keys.ts";

const IN_FLIGHT = 64;
/** Of an open loop: never the limit, unless the server stalls. */
const OPEN_IN_FLIGHT = 1000;
/** grpc-js doubles its speed while the compiler warms up. */
const WARM_SECONDS = 6;
const ROUND_SECONDS = 3;
const ROUNDS = 5;

interface Compared {
  readonly echo: Round;
  readonly verify: Round;
  /** The echo's processor time per call divided by Verify's: the median of the pairs of rounds, and each. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

export interface VerifyReport {
  readonly bench: "verify";
  readonly settings: Record<string, string | number>;
  readonly full: Compared & { readonly throughputRatio: number };
  readonly half: Compared & {
    readonly perSecond: number;
    /** Verify's latency divided by the echo's. */
    readonly p50Ratio: number;
    readonly p99Ratio: number;
  };
}

export async function benchVerify(): Promise<VerifyReport> {
  const deployment = await deploy();
  try {
    const { requests, response } = await makeKeys(deployment);
    const echo = await startMeasured([...YOUNG_FLAGS, fromRoot("test/bench/echo-server.ts"), response]);
    try {
      const ask = (address: string, seconds: number, perSecond?: number) =>
        load({
          address,
          file: requests,
          inFlight: perSecond === undefined ? IN_FLIGHT : OPEN_IN_FLIGHT,
          seconds,
          perSecond,
          key: deployment.rootKey,
          expected: DecisionCode.VALID,
        });
      const compare = async (perSecond?: number): Promise<Compared> => {
        const rounds: { echo: Round; verify: Round }[] = [];
        for (let i = 0; i < ROUNDS; i++) {
          rounds.push({
            echo: await measured(echo.child, () => ask(echo.address, ROUND_SECONDS, perSecond)),
            verify: await measured(deployment.authzProcess, () =>
              ask(deployment.authz, ROUND_SECONDS, perSecond),
            ),
          });
        }
        return compared(rounds);
      };
      await ask(echo.address, WARM_SECONDS);
      await ask(deployment.authz, WARM_SECONDS);
      const full = await compare();
      const perSecond = Math.round(full.echo.callsPerSecond / 2);
      const half = await compare(perSecond);
      return {
        bench: "verify",
        settings: {
          node: process.version,
          keys: KEYS,
          bucketsPerCall: BUCKETS_PER_CALL,
          inFlight: IN_FLIGHT,
          rounds: ROUNDS,
          roundSeconds: ROUND_SECONDS,
          spool: "cache",
        },
        full: { ...full, throughputRatio: full.verify.callsPerSecond / full.echo.callsPerSecond },
        half: {
          ...half,
          perSecond,
          p50Ratio: half.verify.p50Us / half.echo.p50Us,
          p99Ratio: half.verify.p99Us / half.echo.p99Us,
        },
      };
    } finally {
      await end(echo.child);
    }
  } finally {
    await deployment.stop();
  }
}

function compared(rounds: readonly { echo: Round; verify: Round }[]): Compared {
  const ratios = rounds.map(({ echo, verify }) => echo.cpuMicrosPerCall / verify.cpuMicrosPerCall);
  return {
    ratio: median(ratios),
    ratios,
    echo: medianRound(rounds.map((round) => round.echo)),
    verify: medianRound(rounds.map((round) => round.verify)),
  };
}
