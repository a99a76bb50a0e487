import { join } from "node:path";
import { createAuthz, readAuthzConfig } from "@gatehouse/authz";
import { createIdentity, keepRootKey, readIdentityConfig } from "@gatehouse/identity";
import { redact } from "@gatehouse/keys";
import { createMetering, readMeteringConfig } from "@gatehouse/metering";
import {
  type Address,
  type Bus,
  createLog,
  Disposables,
  type Log,
  type LogLevel,
  localBus,
  natsBus,
  type ServeOptions,
  serve,
  sleep,
} from "@gatehouse/service";
import { startPostgres } from "./embedded-postgres.ts";
import { findNatsServer, startNatsServer } from "./nats-server.ts";
import { keepSecrets } from "./secrets.ts";

export interface StackOptions {
  /** Where everything that must survive a restart is kept. */
  readonly directory: string;
  /** Where each service listens; default: the documented ports, on loopback. */
  readonly ports?: StackPorts;
  /** A running NATS; default: a `nats-server` from the PATH, else a bus inside the process. */
  readonly natsUrl?: string | undefined;
  readonly logLevel?: LogLevel;
  /** For tests: Postgres settings such as `fsync=off`. */
  readonly postgresSettings?: readonly string[];
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

export const defaultPorts: StackPorts = {
  identity: { grpc: 7101, http: 7201 },
  authz: { grpc: 7102, http: 7202 },
  metering: { grpc: 7103, http: 7203 },
};

export const anyPorts: StackPorts = {
  identity: { grpc: 0, http: 0 },
  authz: { grpc: 0, http: 0 },
  metering: { grpc: 0, http: 0 },
};

const READY_MS = 30_000;

/** All three services in this process, over an embedded Postgres: development, tests, small deployments. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { directory, ports = defaultPorts, logLevel = "warn" } = options;
  const log = createLog({ name: "gatehouse", level: logLevel, redactText: (text) => redact(text) });
  const opened = new Disposables(log);
  try {
    const secrets = await keepSecrets(directory);
    const postgres = await startPostgres({
      directory: join(directory, "postgres"),
      ...(options.postgresSettings && { settings: options.postgresSettings }),
    });
    opened.add("postgres", () => postgres.stop());
    const { bus, name } = await openBus(options.natsUrl, log, opened);

    const environment = {
      GATEHOUSE_DATABASE_URL: postgres.url,
      GATEHOUSE_SERVICE_SECRET: secrets.serviceSecret,
      GATEHOUSE_PEPPERS: secrets.peppers,
      GATEHOUSE_SPOOL_DIR: join(directory, "spool"),
      GATEHOUSE_PRODUCER: "authz",
    };
    const identity = await createIdentity(readIdentityConfig(environment), log, { bus });
    opened.add("identity", () => identity.close());
    const rootKey = identity.bootstrapped.rootKey;
    const rootKeyPath =
      rootKey === undefined ? join(directory, "root.key") : await keepRootKey(rootKey, directory);
    const identityServer = await open("identity", ports.identity, identity, log, opened);

    const upstreams = { ...environment, GATEHOUSE_IDENTITY_ADDRESS: identityServer.grpcAddress };
    const metering = await createMetering(readMeteringConfig(upstreams), log, { bus });
    opened.add("metering", () => metering.close());
    const meteringServer = await open("metering", ports.metering, metering, log, opened);

    const addresses = { ...upstreams, GATEHOUSE_METERING_ADDRESS: meteringServer.grpcAddress };
    const authz = await createAuthz(readAuthzConfig(addresses), log, { bus });
    opened.add("authz", () => authz.close());
    const authzServer = await open("authz", ports.authz, authz, log, opened);
    return {
      identity: identityServer,
      authz: authzServer,
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

/** A service as its package makes it. */
interface Service<P> {
  readonly routes: ServeOptions<P>["routes"];
  readonly guard: ServeOptions<P>["guard"];
  ready(): Promise<void>;
}

async function open<P>(
  name: string,
  ports: Endpoints,
  { routes, guard, ready }: Service<P>,
  log: Log,
  opened: Disposables,
): Promise<ServiceAddresses> {
  const at = (port: number): Address => ({ host: "127.0.0.1", port });
  const options = {
    grpc: at(ports.grpc),
    http: at(ports.http),
    routes,
    guard,
    ready: { [name]: ready },
    log,
  };
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

async function openBus(
  natsUrl: string | undefined,
  log: Log,
  opened: Disposables,
): Promise<{ bus: Bus; name: string }> {
  const url = natsUrl ?? (await ownNats(opened));
  const bus = url === undefined ? localBus({ log }) : natsBus({ urls: [url], name: "gatehouse", log });
  opened.add("bus", () => bus.close());
  return { bus, name: url ?? "in process (no nats-server on the PATH)" };
}

async function ownNats(opened: Disposables): Promise<string | undefined> {
  const path = await findNatsServer();
  if (path === undefined) return undefined;
  const server = await startNatsServer(path);
  opened.add("nats-server", () => server.stop());
  return server.url;
}
