/**
 * A fresh replica that warms under load: every key is asked for by the clock, the first time each is a miss. What is
 * shown is the latency of all calls of the first seconds, and what the requests to others took of it on their side; and, of keys asked for one by one, the requests to identity
 * and metering that each takes.
 */
import { AuthzService, DecisionCode } from "@gatehouse/proto/authz";
import { grpcClient } from "@gatehouse/service";
import { type Deployment, deploy, end, rpcCounts, rpcSeconds } from "./deployment.ts";
import { load, median } from "./rounds.ts";
import { KEYS, makeKeys, requestOf, timely, type WarmKeys } from "./warm-keys.ts";

const REPLICAS = 3;
const SECONDS = 4;
const PER_SECOND = 2000;
/** Never the limit, unless the replica stalls: 64 would queue in the load what waits for units, and count that, too. */
const IN_FLIGHT = 1000;
/** Asked for one by one; the first of them compile what the others run. */
const ALONE = 50;
const COMPILING = 10;

export interface ColdReport {
  readonly bench: "cold";
  readonly settings: Record<string, string | number>;
  /** By replica, of the first seconds of its life. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly each: readonly { readonly p50Us: number; readonly p99Us: number; readonly p999Us: number }[];
  /** While they warmed: how long identity and metering took to answer a request, and how many there were. */
  readonly resolve: Upstream;
  readonly acquire: Upstream;
  /** Cold calls one by one, on a replica that has answered a few: what each takes, and how often it asks others. */
  readonly alone: { readonly p50Ms: number; readonly maxMs: number; readonly roundTrips: number };
}

interface Upstream {
  readonly meanMs: number;
  readonly requests: number;
}

export async function benchCold(): Promise<ColdReport> {
  const deployment = await deploy();
  try {
    const { keys, requests } = await makeKeys(deployment);
    const each: ColdReport["each"][number][] = [];
    const resolving = await upstream(deployment.identityHttp, "ResolveKeys");
    const acquiring = await upstream(deployment.meteringHttp, "Acquire");
    for (let i = 0; i < REPLICAS; i++) {
      const replica = await deployment.startReplica(`cold-${i}`);
      const { p50Us, p99Us, p999Us } = await load({
        address: replica.address,
        file: requests,
        inFlight: IN_FLIGHT,
        seconds: SECONDS,
        perSecond: PER_SECOND,
        key: deployment.rootKey,
        expected: DecisionCode.VALID,
      });
      each.push({ p50Us, p99Us, p999Us });
      await end(replica.child);
    }
    const [resolve, acquire] = [await resolving(), await acquiring()];
    const alone = await oneByOne(deployment, keys);
    return {
      bench: "cold",
      settings: {
        node: process.version,
        keys: KEYS,
        perSecond: PER_SECOND,
        seconds: SECONDS,
        replicas: REPLICAS,
      },
      p50Us: median(each.map((one) => one.p50Us)),
      p99Us: median(each.map((one) => one.p99Us)),
      p999Us: median(each.map((one) => one.p999Us)),
      each,
      resolve,
      acquire,
      alone,
    };
  } finally {
    await deployment.stop();
  }
}

/** Begins to watch an RPC; what is answered ends it. */
async function upstream(http: string, method: string): Promise<() => Promise<Upstream>> {
  const [countBefore, secondsBefore] = [await rpcCounts(http, method), await rpcSeconds(http, method)];
  return async () => {
    const requests = (await rpcCounts(http, method)) - countBefore;
    const seconds = (await rpcSeconds(http, method)) - secondsBefore;
    return { meanMs: (1000 * seconds) / requests, requests };
  };
}

async function oneByOne(deployment: Deployment, keys: WarmKeys["keys"]): Promise<ColdReport["alone"]> {
  const replica = await deployment.startReplica("alone");
  const verifier = grpcClient(AuthzService, replica.address, {
    headers: { "x-api-key": deployment.rootKey },
  });
  const roundTrips = async () =>
    (await rpcCounts(deployment.identityHttp, "ResolveKeys")) +
    (await rpcCounts(deployment.meteringHttp, "Acquire"));
  const tookMs: number[] = [];
  let before = 0;
  for (const [i, { presented }] of keys.slice(0, COMPILING + ALONE).entries()) {
    if (i === COMPILING) before = await roundTrips();
    const beganMs = performance.now();
    const { code } = await verifier.verify(requestOf(presented), timely);
    if (code !== DecisionCode.VALID) throw new Error(`a cold call was answered ${DecisionCode[code]}`);
    if (i >= COMPILING) tookMs.push(performance.now() - beganMs);
  }
  const asked = (await roundTrips()) - before;
  verifier.close();
  await end(replica.child);
  return { p50Ms: median(tookMs), maxMs: Math.max(...tookMs), roundTrips: asked / ALONE };
}
