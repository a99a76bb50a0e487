import { join } from "node:path";
import { createAuthz } from "@gatehouse/authz";
import { createIdentity } from "@gatehouse/identity";
import { redact } from "@gatehouse/keys";
import { createMetering } from "@gatehouse/metering";
import {
  type Address,
  type Bus,
  createLog,
  Disposables,
  type Environment,
  type Log,
  type LogLevel,
  type Metric,
  openBus,
  openTracing,
  Secret,
  type ServeOptions,
  serve,
  serviceMetrics,
  sleep,
  type TracingOptions,
} from "@gatehouse/service";
import { openDeployment } from "./deployment.ts";
import { startPostgres } from "./embedded-postgres.ts";
import { findNatsServer, startNatsServer } from "./nats-server.ts";
import { settleRootKey } from "./root-key.ts";

export interface StackOptions {
  /** Where everything that must survive a restart is kept. */
  readonly directory: string;
  /** The services' own variables; what the stack makes itself (secrets, database, spool) is not taken from them. */
  readonly environment?: Environment;
  /** Where each service listens on loopback; default: as the environment says, else the documented ports. */
  readonly ports?: StackPorts;
  /** A running NATS; default: a `nats-server` from the PATH, else a bus inside the process. */
  readonly natsUrl?: string | undefined;
  readonly logLevel?: LogLevel;
  /** For tests: Postgres settings such as `fsync=off`. */
  readonly postgresSettings?: readonly string[];
  /** Gives the start up: it rejects once everything that was started has stopped. */
  readonly signal?: AbortSignal;
}

export interface StackPorts {
  readonly identity: Endpoints;
  readonly authz: Endpoints;
  readonly metering: Endpoints;
}

export interface Endpoints {
  readonly grpc: number;
  readonly http: number;
}

/** `host:port` of one service. */
export interface ServiceAddresses {
  readonly grpcAddress: string;
  readonly httpAddress: string;
}

export interface Stack {
  readonly identity: ServiceAddresses;
  readonly authz: ServiceAddresses;
  readonly authzScheme: "http" | "https";
  readonly metering: ServiceAddresses;
  /** Which bus rings the bells. */
  readonly bus: string;
  /** The root key, at the first start only. */
  readonly rootKey: string | undefined;
  readonly rootKeyPath: string;
  readonly serviceSecret: string;
  /** Stops everything in order; nothing is lost. */
  close(): Promise<void>;
}

export const anyPorts: StackPorts = {
  identity: { grpc: 0, http: 0 },
  authz: { grpc: 0, http: 0 },
  metering: { grpc: 0, http: 0 },
};

const READY_MS = 30_000;

/**
 * All three services in this process, over an embedded Postgres: development, tests, small deployments. Throws
 * StartError or ConfigError, with nothing started, where a person has to put something right.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { directory, logLevel = "warn", signal } = options;
  const environment = { ...options.environment, ...(options.ports && variablesOf(options.ports)) };
  const { configs, secrets, newRootKey, release } = await openDeployment(directory, environment);
  const { keyPrefix } = configs.identity;
  const log = createLog({
    name: "gatehouse",
    level: logLevel,
    redactText: (text) => redact(text, keyPrefix),
  });
  const opened = new Disposables(log);
  opened.add("directory", release);
  try {
    signal?.throwIfAborted();
    const postgres = await startPostgres({
      directory: join(directory, "postgres"),
      signal,
      ...(options.postgresSettings && { settings: options.postgresSettings }),
    });
    opened.add("postgres", () => postgres.stop());
    const databaseUrl = new Secret(postgres.url);
    const { bus, name } = await openNamedBus(options.natsUrl, log, opened);

    signal?.throwIfAborted();
    const rootKeySetting = newRootKey === undefined ? undefined : new Secret(newRootKey);
    const identityConfig = { ...configs.identity, databaseUrl, rootKey: rootKeySetting };
    // identity asks metering, which follows identity: each starts without the other.
    let meteringAddress: string | undefined;
    const identity = await createIdentity(identityConfig, log, {
      bus,
      meteringAddress: () => meteringAddress,
    });
    opened.add("identity", () => identity.close());
    const { rootKey, rootKeyPath } = await settleRootKey(directory, newRootKey, identity.bootstrapped);
    const identityServer = await open("identity", identityConfig, identity, log, opened);

    signal?.throwIfAborted();
    const identityAddress = identityServer.grpcAddress;
    const meteringConfig = { ...configs.metering, databaseUrl, identityAddress };
    const metering = await createMetering(meteringConfig, log, { bus });
    opened.add("metering", () => metering.close());
    const meteringServer = await open("metering", meteringConfig, metering, log, opened);
    meteringAddress = meteringServer.grpcAddress;

    signal?.throwIfAborted();
    const authzConfig = { ...configs.authz, identityAddress, meteringAddress };
    const authz = await createAuthz(authzConfig, log, { bus });
    opened.add("authz", () => authz.close());
    const authzServer = await open("authz", authzConfig, authz, log, opened);
    signal?.throwIfAborted();
    return {
      identity: identityServer,
      authz: authzServer,
      authzScheme: configs.authz.tls === undefined ? "http" : "https",
      metering: meteringServer,
      bus: name,
      rootKey,
      rootKeyPath,
      serviceSecret: secrets.serviceSecret,
      close: () => opened.close(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function variablesOf(ports: StackPorts): Environment {
  return Object.fromEntries(
    Object.entries(ports).flatMap(([service, { grpc, http }]: [string, Endpoints]) => [
      [`GATEHOUSE_${service.toUpperCase()}_GRPC`, `127.0.0.1:${grpc}`],
      [`GATEHOUSE_${service.toUpperCase()}_HTTP`, `127.0.0.1:${http}`],
    ]),
  );
}

/** A service as its package makes it. */
interface Service<P> {
  readonly routes: ServeOptions<P>["routes"];
  readonly guard: ServeOptions<P>["guard"];
  readonly extra?: ServeOptions<P>["extra"];
  readonly metrics: readonly Metric[];
  ready(): Promise<void>;
}

interface Listening {
  readonly grpc: Address;
  readonly http: Address;
  readonly tracing: Pick<TracingOptions, "endpoint" | "ratio">;
  /** authz alone has it. */
  readonly tls?: ServeOptions<unknown>["tls"];
}

async function open<P>(
  name: string,
  { grpc, http, tracing: traced, tls }: Listening,
  { routes, guard, extra, metrics: own, ready }: Service<P>,
  log: Log,
  opened: Disposables,
): Promise<ServiceAddresses> {
  const tracing = await openTracing({ service: name, ...traced, log, opened });
  const metrics = serviceMetrics(name, own);
  const options = { grpc, http, tls, routes, guard, extra, ready: { [name]: ready }, log, metrics, tracing };
  const server = opened.use(`${name} server`, await serve(options), 6000);
  await untilReady(name, ready);
  server.setServing(true);
  return server;
}

async function untilReady(name: string, ready: () => Promise<void>): Promise<void> {
  for (const untilMs = Date.now() + READY_MS; ; await sleep(20)) {
    try {
      return await ready();
    } catch (cause) {
      if (Date.now() > untilMs)
        throw new Error(`${name} did not become ready within ${READY_MS} ms`, { cause });
    }
  }
}

async function openNamedBus(
  natsUrl: string | undefined,
  log: Log,
  opened: Disposables,
): Promise<{ bus: Bus; name: string }> {
  const url = natsUrl ?? (await ownNats(opened));
  const bus = openBus({ urls: url === undefined ? undefined : [url], name: "gatehouse", log, opened });
  return { bus, name: url ?? "in process (no nats-server on the PATH)" };
}

async function ownNats(opened: Disposables): Promise<string | undefined> {
  const path = await findNatsServer();
  if (path === undefined) return undefined;
  const server = await startNatsServer(path);
  opened.add("nats-server", () => server.stop());
  return server.url;
}
