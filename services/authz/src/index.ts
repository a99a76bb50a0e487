import type { Principal } from "@gatehouse/access";
import { KeyFormat, ReservedDecisionIds } from "@gatehouse/keys";
import {
  type Bus,
  Disposables,
  type ExtraEndpoint,
  type Guard,
  type Log,
  type Metric,
  openBus,
  type Route,
} from "@gatehouse/service";
import type { AuthzConfig } from "./config.ts";
import { CachedDirectory } from "./domain/cached-directory.ts";
import { Explainer } from "./domain/explain.ts";
import { peekingVerifier } from "./domain/peek.ts";
import { Verifier, type VerifierOptions } from "./domain/verify.ts";
import { AuthzObservations, authzMetrics } from "./metrics.ts";
import { type Parts, wholeParts } from "./parts.ts";
import { RequestMemory } from "./rpc/request-memory.ts";
import type { WorkerNumber } from "./spool/index.ts";
import { followBoth } from "./wiring/follow-both.ts";
import { openDoors } from "./wiring/open-doors.ts";
import { openIdentity } from "./wiring/open-identity.ts";
import { openLeases, tendLeases } from "./wiring/open-leases.ts";
import { openSigning } from "./wiring/open-signing.ts";
import { openSpooling } from "./wiring/open-spooling.ts";
import { reportActivity } from "./wiring/report-activity.ts";

export { type AuthzConfig, readAuthzConfig } from "./config.ts";

/** The process that authz runs in. */
export interface AuthzHost {
  /** Which worker of a service in several this is; default the only one. */
  readonly worker?: WorkerNumber;
  /** Shared with other services of the process; left open by `close`. */
  readonly bus?: Bus;
}

/** What tests put in the place of what is. */
export interface AuthzOverrides {
  /** Switches following off, to see that what rests on it then fails. */
  readonly following?: boolean;
  /** Weakens a part, to see that an attack finds what its rule protects from. */
  readonly parts?: Partial<Parts>;
}

/** authz, ready to be served. */
export interface Authz {
  readonly routes: readonly Route<Principal | undefined>[];
  readonly guard: Guard<Principal | undefined>;
  readonly metrics: readonly Metric[];
  /** What gateways ask over plain HTTP. */
  readonly extra: ExtraEndpoint;
  /** Rejects until both feeds have been proven once. */
  ready(): Promise<void>;
  /** After the server has closed: gives leases back and ships what is spooled, for a few seconds at most. */
  close(): Promise<void>;
}

/** The age up to which limits are relied on, which is how long a quota's lease lives. */
const LIMITS_STALENESS_MAX_MS = 60_000;
/** What tests without following run with: state of any age answers. */
const UNGUARDED = { boundMs: Number.POSITIVE_INFINITY, stalenessMaxMs: Number.POSITIVE_INFINITY };

/** Opens the spool, begins to follow both feeds, and wires everything up. Rejects where the spool is taken. */
export async function createAuthz(
  config: AuthzConfig,
  log: Log,
  host: AuthzHost = {},
  overrides: AuthzOverrides = {},
): Promise<Authz> {
  const opened = new Disposables(log);
  try {
    return await wireUp(config, log, host, overrides, opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function wireUp(
  config: AuthzConfig,
  log: Log,
  host: AuthzHost,
  { following = true, parts: replaced }: AuthzOverrides,
  opened: Disposables,
): Promise<Authz> {
  const parts = { ...wholeParts, ...replaced };
  const { clock } = parts;
  const bus = host.bus ?? openBus({ urls: config.natsUrls, name: "authz", log, opened });
  const worker = host.worker ?? { number: 1, count: 1 };
  const observations = new AuthzObservations();
  const identity = openIdentity(config, following ? config.freshness : UNGUARDED, parts, opened);
  const { cache, meters, reader } = identity;
  const onWritten = (ms: number) => observations.spoolWrites.observe(ms);
  const spooling = await openSpooling({ config, worker, parts, onWritten, log, opened });
  const { spool, shipper, metering } = spooling;
  const leases = openLeases({
    ...{ metering, spool, shipper, clock, opened },
    // As many nodes as keys, and their accounts.
    nodes: config.cache.keys * 2,
    identityFreshness: identity.position,
    onWaited: (ms) => observations.acquireWaits.observe(ms),
  });
  const claimNonce = identity.source.claimNonce.bind(identity.source);
  const signing = openSigning({ config, marksIn: spooling.directory, claimNonce, clock, log, opened });

  const feeds = { identity: identity.follower, metering: leases.follower };
  if (following) followBoth({ identity, leases, parts, bus, log, opened });
  else await Promise.all([feeds.identity.prove(), feeds.metering.prove()]);
  tendLeases(leases.pool, metering, log, opened);
  const activity = reportActivity(identity.source, log, opened);

  const deciding: VerifierOptions = {
    ...{ cache, activity, clock, identity: reader, catalog: identity.catalog },
    format: new KeyFormat({ prefix: config.keyPrefix, peppers: config.peppers }),
    identityProof: feeds.identity,
    identityGate: identity.gate,
    meteringProof: feeds.metering,
    limitsStalenessMaxMs: following ? LIMITS_STALENESS_MAX_MS : Number.POSITIVE_INFINITY,
    signatures: signing.signatures,
    upstream: signing.upstream,
    pool: leases.pool,
    journal: spool,
    reservedIds: new ReservedDecisionIds(config.serviceSecret.reveal()),
  };
  const verifier = new Verifier(deciding);
  const peeking = { ...deciding, verifier: peekingVerifier(deciding) };
  const explainer = new Explainer({
    ...{ ...peeking, buckets: metering, prices: leases.prices },
    identityFreshness: identity.position,
  });
  const directory = new CachedDirectory({ ...deciding, identityGate: parts.guardGate(identity.gate) });
  const memory = new RequestMemory(() => clock.now().monotonicMs);
  const doors = openDoors({
    ...{ config, verifier, explainer, directory, memory, meters, cache, log, format: deciding.format },
    catchUp: (token) => reader.catchUp(feeds.identity, token),
    onBatch: (calls) => observations.batchItems.observe(calls),
  });
  return {
    ...doors,
    metrics: authzMetrics({
      ...{ verifier, cache, reader, activity, memory, spool, shipper, feeds, observations },
      ...{ book: leases.book, pool: leases.pool, nonces: signing.nonces },
      identityBounds: config.freshness,
      limitsStalenessMaxMs: LIMITS_STALENESS_MAX_MS,
    }),
    ready: async () => {
      if (feeds.identity.provenProof === 0) throw new Error("identity was not followed yet");
      if (feeds.metering.provenProof === 0) throw new Error("metering was not followed yet");
    },
    close: () => opened.close(),
  };
}
