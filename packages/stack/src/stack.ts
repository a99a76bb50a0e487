import { join } from "node:path";
import { createAuthz } from "@gatehouse/authz";
import { createIdentity } from "@gatehouse/identity";
import { redact } from "@gatehouse/keys";
import { createMetering } from "@gatehouse/metering";
import {
  type Bus,
  createLog,
  Disposables,
  type Environment,
  type Log,
  type LogLevel,
  openBus,
  Secret,
  type ServeServiceOptions,
  serveService,
  sleep,
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
    const { service: identity, server: identityServer } = await serveReady({
      name: "identity",
      config: identityConfig,
      create: () => createIdentity(identityConfig, log, { bus, meteringAddress: () => meteringAddress }),
      ...{ log, opened },
    });
    const { rootKey, rootKeyPath } = await settleRootKey(directory, newRootKey, identity.bootstrapped);

    signal?.throwIfAborted();
    const identityAddress = identityServer.grpcAddress;
    const meteringConfig = { ...configs.metering, databaseUrl, identityAddress };
    const { server: meteringServer } = await serveReady({
      name: "metering",
      config: meteringConfig,
      create: () => createMetering(meteringConfig, log, { bus }),
      ...{ log, opened },
    });
    meteringAddress = meteringServer.grpcAddress;

    signal?.throwIfAborted();
    const authzConfig = { ...configs.authz, identityAddress, meteringAddress };
    const { server: authzServer } = await serveReady({
      name: "authz",
      config: authzConfig,
      create: () => createAuthz(authzConfig, log, { bus }),
      ...{ log, opened },
    });
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

// One after the other: each relies on those before it.
async function serveReady<P, S>(options: ServeServiceOptions<P, S>) {
  const served = await serveService(options);
  await untilReady(options.name, served.service);
  served.server.setServing(true);
  return served;
}

async function untilReady(name: string, service: { ready(): Promise<void> }): Promise<void> {
  for (const untilMs = Date.now() + READY_MS; ; await sleep(20)) {
    try {
      return await service.ready();
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
