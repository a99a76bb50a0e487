import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newEncryptionKey, newPepper } from "@gatehouse/keys";
import { type Caller, callerOf } from "./caller.ts";
import { type JsonAnswer, jsonCall } from "./json-call.ts";
import { Link } from "./link.ts";
import { NatsProcess } from "./nats-process.ts";
import { PostgresProcess } from "./postgres-process.ts";
import { ServiceProcess } from "./service-process.ts";

/** A process of a service. */
export interface ReplicaOptions {
  /** Default: the service's own. */
  readonly main?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface SystemOptions {
  /** Default: two, as they come. */
  readonly replicas?: readonly ReplicaOptions[];
  readonly metering?: ReplicaOptions;
  /** More replicas of metering, over the same database. Default: none. */
  readonly moreMeterings?: readonly ReplicaOptions[];
  /** Set for every process. */
  readonly environment?: Readonly<Record<string, string>>;
}

export type Upstream = "identity" | "metering" | "nats";

/** A replica of authz and the links that it depends on. */
export interface Replica {
  readonly process: ServiceProcess;
  readonly links: Readonly<Record<Upstream, Link>>;
  /** To each replica of metering; the first is `links.metering`. */
  readonly toMeterings: readonly Link[];
}

/** A deployment: Postgres, NATS, identity, metering and replicas of authz, each a process of its own. */
export interface System {
  readonly identity: ServiceProcess;
  /** The first of its replicas. */
  readonly metering: ServiceProcess;
  readonly meterings: readonly ServiceProcess[];
  readonly replicas: readonly Replica[];
  readonly nats: NatsProcess;
  /** Of identity and metering. */
  readonly postgres: PostgresProcess;
  /** Everything that depends on identity (metering and the replicas), and on NATS, dials through these. */
  readonly meteringLinks: Readonly<Record<"identity" | "nats", Link>>;
  readonly identityLinks: Readonly<Record<"metering" | "nats", Link>>;
  /** The provider's root key. */
  readonly root: Caller;
  /** What the services present to each other. */
  readonly serviceSecret: string;
  /** What identity and authz read at their start, for a test that rotates them. */
  readonly encryptionKeysFile: string;
  /** Of identity and metering, each in its schema; for tests that look at what was stored. */
  readonly databaseUrl: string;
  as(secret: string): Caller;
  /**
   * One call by JSON over HTTP; `method` begins with the package: `authz.v1.AuthzService/Verify`, or whose it is:
   * `envoy.service.auth.v3.Authorization/Check`.
   */
  json(key: string | undefined, method: string, body: unknown, replica?: number): Promise<JsonAnswer>;
  /** What every process wrote, for a test that failed. */
  logs(): string;
  stop(): Promise<void>;
}

const SERVICES = join(import.meta.dirname, "../../services");
const SERVICE_SECRET = "the service secret of a test, long enough";

export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const opened = new AsyncDisposableStack();
  try {
    return await start(options, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

async function start(
  { replicas = [{}, {}], metering: ofMetering = {}, moreMeterings = [], environment }: SystemOptions,
  opened: AsyncDisposableStack,
): Promise<System> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-system-"));
  // Postgres may run as another user, who must pass through.
  await chmod(directory, 0o755);
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const [postgres, nats] = await Promise.all([
    PostgresProcess.start(join(directory, "postgres")),
    NatsProcess.start(),
  ]);
  opened.defer(() => postgres.stop());
  opened.defer(() => nats.stop());

  const link = async (target: () => number | undefined) => {
    const link = await Link.open(target);
    opened.defer(() => link.close());
    return link;
  };
  const processes: ServiceProcess[] = [];
  const toNats = () => link(() => nats.port);
  const encryptionKeysFile = join(directory, "encryption.keys");
  await writeFile(encryptionKeysFile, newEncryptionKey("1"));
  const common = {
    GATEHOUSE_SERVICE_SECRET: SERVICE_SECRET,
    GATEHOUSE_PEPPERS: newPepper("1"),
    GATEHOUSE_ENCRYPTION_KEYS_FILE: encryptionKeysFile,
    // Nobody spreads calls over what a test stops.
    GATEHOUSE_DRAIN_DELAY: "0s",
    ...environment,
  };
  function service(
    addressName: "IDENTITY" | "METERING" | "AUTHZ",
    name: string,
    { main, environment = {} }: ReplicaOptions,
    natsLink: Link,
  ): ServiceProcess {
    const made = new ServiceProcess({
      name,
      main: main ?? join(SERVICES, addressName.toLowerCase(), "src/main.ts"),
      addressName,
      environment: { ...common, GATEHOUSE_NATS_URL: `nats://${natsLink.address}`, ...environment },
    });
    processes.push(made);
    opened.defer(() => made.stop());
    return made;
  }

  const database = { GATEHOUSE_DATABASE_URL: postgres.url };
  // What it depends on is made below; a link looks for its target when somebody dials.
  const toMeterings = () =>
    Promise.all([ofMetering, ...moreMeterings].map((_, i) => link(() => meterings[i]!.grpcPort)));
  const identityToMeterings = await toMeterings();
  const identityLinks = { metering: identityToMeterings[0]!, nats: await toNats() };
  const ofIdentity = {
    GATEHOUSE_DATA_DIRECTORY: directory,
    GATEHOUSE_METERING_ADDRESS: addressesOf(identityToMeterings),
  };
  const identity = service(
    "IDENTITY",
    "identity",
    { environment: { ...database, ...ofIdentity } },
    identityLinks.nats,
  );
  const toIdentity = () => link(() => identity.grpcPort);
  const meteringLinks = { identity: await toIdentity(), nats: await toNats() };
  const meterings = [ofMetering, ...moreMeterings].map(({ environment, ...options }, i) =>
    service(
      "METERING",
      i === 0 ? "metering" : `metering-${i}`,
      {
        ...options,
        environment: {
          ...database,
          GATEHOUSE_IDENTITY_ADDRESS: meteringLinks.identity.address,
          ...environment,
        },
      },
      meteringLinks.nats,
    ),
  );
  const metering = meterings[0]!;
  const made: Replica[] = [];
  for (const [i, { main, environment }] of replicas.entries()) {
    const metering = await toMeterings();
    const links = { identity: await toIdentity(), metering: metering[0]!, nats: await toNats() };
    const own = {
      GATEHOUSE_IDENTITY_ADDRESS: links.identity.address,
      GATEHOUSE_METERING_ADDRESS: addressesOf(metering),
      GATEHOUSE_SPOOL_DIR: join(directory, `spool-${i}`),
      GATEHOUSE_PRODUCER: `authz-${i}`,
    };
    const options = { environment: { ...own, ...environment }, ...(main !== undefined && { main }) };
    const process = service("AUTHZ", `authz-${i}`, options, links.nats);
    made.push({ process, links, toMeterings: metering });
  }

  try {
    await Promise.all([identity, ...meterings].map((process) => process.start()));
    await Promise.all(made.map(({ process }) => process.start()));
  } catch (error) {
    throw new Error(`the system did not start\n${logsOf(processes)}`, { cause: error });
  }
  const rootKey = (await readFile(join(directory, "root.key"), "utf8")).trim();
  const addresses = {
    identity: identity.grpcAddress,
    metering: meterings.map(({ grpcAddress }) => grpcAddress).join(","),
    authz: made.map(({ process }) => process.grpcAddress),
  };
  const as = (secret: string) => {
    const caller = callerOf(secret, addresses);
    opened.defer(() => caller.close());
    return caller;
  };
  const root = as(rootKey);
  return {
    identity,
    metering,
    meterings,
    replicas: made,
    nats,
    postgres,
    meteringLinks,
    identityLinks,
    root,
    serviceSecret: SERVICE_SECRET,
    encryptionKeysFile,
    databaseUrl: postgres.url,
    as,
    json(key, method, body, replica = 0) {
      const [name] = method.split(".");
      const process =
        name === "identity" ? identity : name === "metering" ? metering : made[replica]!.process;
      const path = name === "envoy" ? method : `gatehouse.${method}`;
      return jsonCall(process.httpAddress, key, path, body);
    },
    logs: () => logsOf(processes),
    stop: () => opened.disposeAsync(),
  };
}

function addressesOf(links: readonly Link[]): string {
  return links.map(({ address }) => address).join(",");
}

function logsOf(processes: readonly ServiceProcess[]): string {
  return processes.map(({ name, log }) => `=== ${name}\n${log.join("\n")}`).join("\n");
}
