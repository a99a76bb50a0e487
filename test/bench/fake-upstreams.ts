/**
 * identity and metering as authz sees them, for more keys than anybody wants to make through the API: every numbered key
 * is there, and nothing ever changes. Prints its port.
 *
 * node fake-upstreams.ts <pepper> <limits on each key: 0, or 2 for a rate and a quota that never end>
 */
import { encodeFreshness } from "@gatehouse/changefeed";
import { hashSecret } from "@gatehouse/keys";
import { AccountStatus, FeedService as IdentityFeed, KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import {
  AskResult_Outcome,
  Enforcement,
  IngestService,
  LeaseService,
  FeedService as MeteringFeed,
  Window,
} from "@gatehouse/proto/metering";
import { createLog, route, serve } from "@gatehouse/service";
import { numberedKeys, ORGANIZATION, ROOT } from "./numbered-keys.ts";

const [pepper, limits] = process.argv.slice(2) as [string, string];
const keys = numberedKeys(pepper);
const position = { incarnation: "00000000-0000-4000-8000-000000000000", revision: 1n };
const freshness = encodeFreshness("metering", { ...position, revision: 1 });
const PLENTY = 1_000_000_000n;
const RATE_SECONDS = 2n;
const QUOTA_SECONDS = 300n;
let leases = 0;

const identity = route(IdentityFeed, {
  getHead: () => ({ head: position }),
  listChanges: () => ({ head: position }),
  async *snapshot() {},
  resolveKeys({ keyIds }) {
    const numbers = keyIds.map((keyId) => keys.numberOf(keyId));
    const accounts = new Set([ROOT, ORGANIZATION, ...numbers.map((n) => keys.accountOf(n))]);
    return { position, keys: numbers.map(keyState), accounts: [...accounts].map(accountState) };
  },
  resolveAccounts: () => ({ position }),
  resolveHashes: () => ({ position }),
  resolveMeters: () => ({ position, meters: [{ name: "requests" }] }),
  resolveCatalog: () => ({ position }),
  recordActivity: () => ({}),
  claimNonce: () => ({ claimed: true }),
});

const meteringFeed = route(MeteringFeed, {
  getHead: () => ({ head: position }),
  listChanges: () => ({ head: position }),
  readPriceBook: () => ({ head: position }),
});

const lease = route(LeaseService, {
  acquire: ({ asks }) => ({
    freshness,
    limits: asks.flatMap(({ nodeIds, wants }) =>
      wants.length > 0 ? [] : nodeIds.map((nodeId) => ({ nodeId, limits: limitsOf(nodeId) })),
    ),
    results: asks.map(() => ({ outcome: AskResult_Outcome.GRANTED })),
    leases: asks.flatMap(({ nodeIds, wants }) =>
      wants.length > 0
        ? wants.filter(({ units }) => units > 0n).map(({ limitId, units }) => leaseOf(limitId, units))
        : nodeIds.flatMap(limitsOf).map(({ id }) => leaseOf(id, 20n)),
    ),
  }),
  async *watchRecalls(_request, { draining }) {
    await new Promise((resolve) => draining.addEventListener("abort", resolve));
  },
  readBuckets: () => ({}),
});

let sequence = 1n;
const ingest = route(IngestService, {
  registerProducer: () => ({ expectedSequence: sequence }),
  ingestBatch: (batch) => {
    sequence = batch.sequence + 1n;
    return { expectedSequence: sequence };
  },
  acceptGap: () => ({ expectedSequence: sequence }),
});

function keyState(n: number) {
  return {
    id: `key_${String(n).padStart(20, "0")}`,
    accountId: keys.accountOf(n),
    kind: n === 0 ? KeyKind.MASTER : KeyKind.ACCOUNT,
    status: KeyStatus.ENABLED,
    name: `key ${n}`,
    secretHashes: [hashSecret(keys.presented(n))],
    scopes: [n === 0 ? "**" : "weather.**"],
  };
}

function accountState(id: string) {
  const isRoot = id === ROOT;
  const parentId = isRoot ? "" : id === ORGANIZATION ? ROOT : ORGANIZATION;
  const organizationId = isRoot ? "" : ORGANIZATION;
  return { id, parentId, organizationId, slug: id.slice(-8), status: AccountStatus.ACTIVE, plan: "default" };
}

function limitsOf(nodeId: string) {
  if (limits === "0" || !nodeId.startsWith("key_")) return [];
  const of = { nodeId, meter: "requests", enforcement: Enforcement.ENFORCE };
  const rate = { units: PLENTY, interval: { seconds: 1n }, burst: PLENTY };
  return [
    { ...of, id: `lim_r${nodeId.slice(-19)}`, allowance: { case: "rate" as const, value: rate } },
    {
      ...of,
      id: `lim_q${nodeId.slice(-19)}`,
      allowance: { case: "quota" as const, value: { units: PLENTY, window: Window.MONTH } },
    },
  ];
}

function leaseOf(limitId: string, units: bigint) {
  const isRate = limitId.startsWith("lim_r");
  return {
    id: `lea_${String(++leases).padStart(20, "0")}`,
    limitId,
    units,
    ttl: { seconds: isRate ? RATE_SECONDS : QUOTA_SECONDS },
    windowEnd: isRate ? 0n : BigInt(Date.now() + 86_400_000),
    remaining: PLENTY,
  };
}

const serving = await serve({
  grpc: { host: "127.0.0.1", port: 0 },
  http: { host: "127.0.0.1", port: 0 },
  routes: [identity, meteringFeed, lease, ingest],
  guard: () => () => undefined,
  log: createLog({ name: "fakes", level: "error" }),
});
serving.setServing(true);
console.log(serving.grpcAddress.split(":").at(-1));
process.on("SIGTERM", () => process.exit(0));
