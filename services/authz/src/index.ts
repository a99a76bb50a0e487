import { MissBudget, type Principal, UNKNOWN_HASHES } from "@gatehouse/access";
import { accessGuard } from "@gatehouse/access/guard";
import { encodeFreshness, Follower, follow } from "@gatehouse/changefeed";
import { KeyFormat, ReservedDecisionIds } from "@gatehouse/keys";
import { AuthzService } from "@gatehouse/proto/authz";
import { Authorization } from "@gatehouse/proto/envoy";
import {
  type Bus,
  Disposables,
  type ExtraEndpoint,
  type Guard,
  type Log,
  type Metric,
  openBus,
  type Route,
  route,
  runLoop,
} from "@gatehouse/service";
import type { AuthzConfig } from "./config.ts";
import { Activity } from "./domain/activity.ts";
import { CachedDirectory } from "./domain/cached-directory.ts";
import { CatalogBook } from "./domain/catalog-book.ts";
import { Explainer } from "./domain/explain.ts";
import { IdentityReader } from "./domain/identity-reader.ts";
import { IdentityReplica } from "./domain/identity-replica.ts";
import { LeasePool } from "./domain/lease-pool.ts";
import { LimitBook } from "./domain/limit-book.ts";
import { MeterBook } from "./domain/meter-book.ts";
import { openVerifier } from "./domain/open-verifier.ts";
import { peekingVerifier } from "./domain/peek.ts";
import { Verifier, type VerifierOptions } from "./domain/verify.ts";
import { AuthzObservations, authzMetrics } from "./metrics.ts";
import { type Parts, wholeParts } from "./parts.ts";
import { authzHandlers } from "./rpc/authz-service.ts";
import { callerAsFresh } from "./rpc/caller-as-fresh.ts";
import { explainHandler } from "./rpc/explain.ts";
import { extAuthzHandlers } from "./rpc/ext-authz.ts";
import { forwardAuth } from "./rpc/forward-auth.ts";
import { openGuard } from "./rpc/open-guard.ts";
import { RequestMemory } from "./rpc/request-memory.ts";
import { verifierGuard } from "./rpc/verifier-guard.ts";
import { batchVerifyBytes, verifyBytes } from "./rpc/verify-bytes.ts";
import { openSigning } from "./signing.ts";
import {
  placeOfWorker,
  placesLeft,
  Shipper,
  Spool,
  shipLeftSpools,
  type WorkerNumber,
} from "./spool/index.ts";
import { GrpcIdentitySource } from "./upstream/identity-source.ts";
import { GrpcMeteringSource } from "./upstream/metering-source.ts";

export { type AuthzConfig, readAuthzConfig } from "./config.ts";

/** What tests and the stack put in the place of what the configuration would give. */
export interface AuthzOverrides {
  /** Which worker of a service in several this is; default the only one. */
  readonly worker?: WorkerNumber;
  /** Shared with other services of the process; left open by `close`. */
  readonly bus?: Bus;
  /** Tests switch following off, to see that what rests on it then fails. */
  readonly following?: boolean;
  /** Tests weaken a part, to see that an attack finds what its rule protects from. */
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
const SWEEP_MS = 500;
/** A lease that nobody spends from goes back after this long. */
const IDLE_LEASE_MS = 30_000;
/** What tests without following run with: state of any age answers. */
const UNGUARDED = { boundMs: Number.POSITIVE_INFINITY, stalenessMaxMs: Number.POSITIVE_INFINITY };
/** What is not shipped by then waits in the spool for the next start. */
const DRAIN_MS = 3000;
const RECALL_BACKOFF = { minMs: 50, maxMs: 1000 };
const ACTIVITY_MS = 1000;
const ACTIVITY_BACKOFF = { minMs: 1000, maxMs: 30_000 };

/** Opens the spool, begins to follow both feeds, and wires everything up. Rejects where the spool is taken. */
export async function createAuthz(
  config: AuthzConfig,
  log: Log,
  overrides: AuthzOverrides = {},
): Promise<Authz> {
  const opened = new Disposables(log);
  const parts = { ...wholeParts, ...overrides.parts };
  const { clock } = parts;
  const secret = config.serviceSecret.reveal();
  try {
    const bus = overrides.bus ?? openBus({ urls: config.natsUrls, name: "authz", log, opened });
    const identity = new GrpcIdentitySource(config.identityAddress, secret);
    opened.add("identity client", () => identity.close());
    const observations = new AuthzObservations();
    const onWritten = (ms: number) => observations.spoolWrites.observe(ms);
    const worker = overrides.worker ?? { number: 1, count: 1 };
    const place = placeOfWorker(config.spool, worker);
    const spool = await Spool.open({ ...config.spool, ...place, onWritten, log });
    const metering = new GrpcMeteringSource(
      config.meteringAddress,
      secret,
      `${spool.producer}/${spool.epoch}`,
    );
    opened.add("metering client", () => metering.close());
    const { register, ingest: send } = metering;
    const shipper = new Shipper({ spool, register, send, log });
    shipper.start();
    opened.add("spool", () => spool.stop(() => shipper.stop(DRAIN_MS)));
    if (worker.number === 1 && config.spool.sync !== "off") {
      const places = placesLeft(config.spool, worker.count);
      const left = shipLeftSpools({ places, sync: config.spool.sync, register, send, log });
      opened.add("left spools", () => left.stop(DRAIN_MS));
    }

    const cache = parts.identityCache({
      capacity: config.cache.keys,
      bytes: config.cache.bytes,
      lifetimeMs: config.cache.lifetimeMs,
      nowMs: () => clock.now().monotonicMs,
    });
    const meters = new MeterBook(() => identity.meters());
    const catalog = new CatalogBook(() => identity.catalog());
    const replica = new IdentityReplica(cache, meters, catalog);
    const identityFollower = parts.identityFollower({ source: identity, replica, clock });
    const following = overrides.following ?? true;
    const identityGate = parts.identityGate(identityFollower, following ? config.freshness : UNGUARDED);
    const reader = new IdentityReader(
      identity,
      cache,
      new MissBudget(UNKNOWN_HASHES, () => clock.now().monotonicMs),
    );
    // As many nodes as keys, and their accounts.
    const book = new LimitBook(config.cache.keys * 2);
    const meteringFollower = new Follower({ source: metering, replica: book, clock });
    const identityFreshness = () => {
      const position = reader.latest(identityFollower.position);
      return position === undefined ? "" : encodeFreshness("identity", position);
    };
    const pool = new LeasePool({
      book,
      journal: spool,
      source: metering,
      clock,
      ship: () => void spool.seal().then(() => shipper.kick()),
      onWaited: (ms) => observations.acquireWaits.observe(ms),
      identityFreshness,
    });
    opened.add("leases", () => pool.drain());
    const format = new KeyFormat({ prefix: config.keyPrefix, peppers: config.peppers });
    const activity = new Activity((uses) => identity.recordActivity(uses));
    const claimNonce = identity.claimNonce.bind(identity);
    const marksIn = config.spool.sync === "off" ? undefined : place.directory;
    const signing = openSigning({ config, marksIn, claimNonce, clock, log, opened });
    const deciding: VerifierOptions = {
      format,
      cache,
      identity: reader,
      catalog,
      activity,
      identityProof: identityFollower,
      identityGate,
      meteringProof: meteringFollower,
      signatures: signing.signatures,
      upstream: signing.upstream,
      limitsStalenessMaxMs: following ? LIMITS_STALENESS_MAX_MS : Number.POSITIVE_INFINITY,
      pool,
      journal: spool,
      reservedIds: new ReservedDecisionIds(secret),
      clock,
    };
    const verifier = new Verifier(deciding);

    if (following) {
      const doubt = (ids: readonly string[]) => cache.doubt(ids, identityFollower.proofsBegun);
      const followers = [
        parts.follow({ follower: identityFollower, source: "identity", bus, log, onBell: doubt }),
        follow({
          follower: meteringFollower,
          source: "metering",
          bus,
          log,
          onBell: (ids) => book.doubt(ids),
        }),
      ];
      for (const follower of followers) opened.add("follower", () => follower.stop());
    } else {
      await Promise.all([identityFollower.prove(), meteringFollower.prove()]);
    }
    const recalls = watchRecalls(metering, pool, log);
    opened.add("recalls", () => recalls.stop());
    const reporting = reportActivity(activity, log);
    opened.add("activity", async () => {
      await reporting.stop();
      // Once more, for what was used since; what identity does not take now is lost.
      await activity.flush().catch(() => undefined);
    });
    const sweeping = setInterval(() => pool.sweep(IDLE_LEASE_MS), SWEEP_MS);
    opened.add("sweeping", () => clearInterval(sweeping));

    const directory = new CachedDirectory({
      cache,
      identity: reader,
      identityProof: identityFollower,
      identityGate: parts.guardGate(identityGate),
    });
    const memory = new RequestMemory(() => clock.now().monotonicMs);
    const onBatch = (items: number) => observations.batchItems.observe(items);
    const { trustedProxies } = config;
    const peeking = peekingVerifier(deciding);
    const explainer = new Explainer({ ...deciding, verifier: peeking, buckets: metering, identityFreshness });
    const explain = explainHandler({ explainer, meters, trustedProxies });
    const closed = verifierGuard(accessGuard({ directory, format, serviceSecret: secret, trustedProxies }));
    const { openVerify } = config;
    const guard = openVerify.enabled
      ? openGuard(
          closed,
          openVerifier(() => cache.rootId),
        )
      : closed;
    if (openVerify.enabled)
      log.warn(openVerify, "calls without a credential are let in (GATEHOUSE_OPEN_VERIFY)");
    const handlers = callerAsFresh(
      authzHandlers({ verifier, memory, meters, explain, trustedProxies, onBatch }),
      { guard, catchUp: (token) => reader.catchUp(identityFollower, token) },
    );
    const fault = (error: unknown) => log.error({ err: error }, "a gateway's call failed by a fault");
    return {
      routes: [
        route(AuthzService, handlers, { verify: verifyBytes, batchVerify: batchVerifyBytes }),
        route(Authorization, extAuthzHandlers({ verify: handlers.verify, fault })),
      ],
      extra: forwardAuth(fault),
      metrics: authzMetrics({
        verifier,
        cache,
        reader,
        book,
        pool,
        activity,
        memory,
        nonces: signing.nonces,
        spool,
        shipper,
        feeds: { identity: identityFollower, metering: meteringFollower },
        identityBounds: config.freshness,
        limitsStalenessMaxMs: LIMITS_STALENESS_MAX_MS,
        observations,
      }),
      guard,
      ready: async () => {
        if (identityFollower.provenProof === 0) throw new Error("identity was not followed yet");
        if (meteringFollower.provenProof === 0) throw new Error("metering was not followed yet");
      },
      close: () => opened.close(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function watchRecalls(metering: GrpcMeteringSource, pool: LeasePool, log: Log) {
  return runLoop({
    name: "watch recalls",
    everyMs: RECALL_BACKOFF.minMs,
    backoff: RECALL_BACKOFF,
    run: async (signal) => {
      for await (const limitIds of metering.recalls(signal)) pool.recall(limitIds);
    },
    log,
  });
}

function reportActivity(activity: Activity, log: Log) {
  return runLoop({
    name: "report activity",
    everyMs: ACTIVITY_MS,
    backoff: ACTIVITY_BACKOFF,
    run: () => activity.flush(),
    log,
  });
}
