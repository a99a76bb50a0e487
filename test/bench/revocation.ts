/**
 * How long after a revocation the last of three replicas refuses the key, while each answers an open loop at most of
 * what it can do. Counted from before RevokeKey is sent, and from its answer: the commit lies in between, so the one is
 * never too short and the other never too long. Each replica is probed by the clock, every few milliseconds, so that
 * what is seen is late by up to that and one call; probing that waits for answers would be a load of its own. How long a
 * probe takes is shown beside: no revocation can be seen sooner.
 */
import { AuthzService, DecisionCode } from "@gatehouse/proto/authz";
import { KeyService } from "@gatehouse/proto/identity";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import { deploy, end, type Replica } from "./deployment.ts";
import { load, median } from "./rounds.ts";
import { makeKeys, requestOf, timely } from "./warm-keys.ts";

const REPLICAS = 3;
const IN_FLIGHT = 64;
const LOAD_SHARE = 0.7;
const WARM_SECONDS = 5;
const REVOCATIONS = 100;
/** The load must outlast the revocations. */
const MAX_REVOCATION_MS = 400;
const PROBE_EVERY_MS = 2;

export interface RevocationReport {
  readonly bench: "revocation";
  readonly settings: Record<string, string | number>;
  readonly fromSending: Spread;
  readonly fromAnswer: Spread;
  /** Of RevokeKey alone: identity and its database. */
  readonly revoking: Spread;
  /** Of one probe: a Verify under this load, by a client that shares its core with all that is not measured. */
  readonly probe: Spread;
}

interface Spread {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export async function benchRevocation(): Promise<RevocationReport> {
  const deployment = await deploy({ nats: true });
  try {
    const { keys, requests } = await makeKeys(deployment);
    const replicas: Replica[] = [];
    for (let i = 0; i < REPLICAS; i++) replicas.push(await deployment.startReplica(`r${i}`));
    await end(deployment.authzProcess);
    const ask = ({ address }: Replica, seconds: number, perSecond?: number) =>
      load({ address, file: requests, inFlight: IN_FLIGHT, seconds, perSecond, key: deployment.rootKey });
    // Together: the replicas share a core, and what counts is what they can do so.
    const closed = await Promise.all(replicas.map((replica) => ask(replica, WARM_SECONDS)));
    const most = Math.min(...closed.map(({ calls, elapsedSeconds }) => calls / elapsedSeconds));
    const perSecond = Math.round(most * LOAD_SHARE);
    const seconds = (REVOCATIONS * MAX_REVOCATION_MS) / 1000;
    const loads = replicas.map((replica) => ask(replica, seconds, perSecond));

    const headers = { "x-api-key": deployment.rootKey };
    const keyService = grpcClient(KeyService, deployment.identity, { headers });
    const verifiers = replicas.map(({ address }) => grpcClient(AuthzService, address, { headers }));
    const sending: number[] = [];
    const answer: number[] = [];
    const revoking: number[] = [];
    const probes: number[] = [];
    const untilMs = performance.now() + seconds * 1000;
    for (const { id, presented } of keys.slice(-REVOCATIONS)) {
      for (const verifier of verifiers) await verifier.verify(requestOf(presented), timely);
      const sentMs = performance.now();
      const refused = verifiers.map((verifier) => refusedAt(verifier, presented, probes));
      await keyService.revokeKey({ key: id }, timely);
      const answeredMs = performance.now();
      const lastMs = Math.max(...(await Promise.all(refused)));
      sending.push(lastMs - sentMs);
      answer.push(lastMs - answeredMs);
      revoking.push(answeredMs - sentMs);
      if (performance.now() > untilMs) throw new Error("the load ended before the revocations");
    }
    await Promise.all(loads);
    for (const client of [keyService, ...verifiers]) client.close();
    return {
      bench: "revocation",
      settings: {
        node: process.version,
        replicas: REPLICAS,
        inFlight: IN_FLIGHT,
        perSecondEach: perSecond,
        loadShare: LOAD_SHARE,
        revocations: REVOCATIONS,
        probeEveryMs: PROBE_EVERY_MS,
        bus: deployment.bus,
      },
      fromSending: spread(sending),
      fromAnswer: spread(answer),
      revoking: spread(revoking),
      probe: spread(probes),
    };
  } finally {
    await deployment.stop();
  }
}

/** Asks by the clock until a replica refuses; when its refusal was here. */
function refusedAt(
  verifier: GrpcClient<typeof AuthzService>,
  presented: string,
  tookMs: number[],
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const probe = async () => {
    const beganMs = performance.now();
    const { code } = await verifier.verify(requestOf(presented), timely);
    const nowMs = performance.now();
    tookMs.push(nowMs - beganMs);
    if (code === DecisionCode.NOT_FOUND) resolve(nowMs);
  };
  const probing = setInterval(() => void probe().catch(reject), PROBE_EVERY_MS);
  return promise.finally(() => clearInterval(probing));
}

function spread(ms: number[]): Spread {
  const sorted = [...ms].sort((a, b) => a - b);
  return {
    p50Ms: median(sorted),
    p99Ms: sorted[Math.floor((sorted.length - 1) * 0.99)]!,
    maxMs: sorted.at(-1)!,
  };
}
