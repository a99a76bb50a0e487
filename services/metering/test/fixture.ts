import type { DescService } from "@bufbuild/protobuf";
import type { AccountNode, KeyNode } from "@gatehouse/access";
import type { Position } from "@gatehouse/changefeed";
import {
  KeyFormat,
  mintId,
  newEncryptionKey,
  newPepper,
  parseEncryptionKey,
  parsePepper,
} from "@gatehouse/keys";
import {
  AlertService,
  AuditService,
  ControlService,
  CreditService,
  FeedService,
  HoldingService,
  IngestService,
  LeaseService,
  LimitService,
  UsageService,
} from "@gatehouse/proto/metering";
import { createLog, grpcClient, localBus, Secret, serve, unavailable } from "@gatehouse/service";
import pg from "pg";
import type { MeteringConfig } from "../src/config.ts";
import type { LimitTerms } from "../src/domain/limit.ts";
import {
  createMetering,
  type IdentityFeed,
  type MeteringOverrides,
  type MirrorChange,
  type MirrorEntity,
} from "../src/index.ts";

export const ENCRYPTION_KEY = parseEncryptionKey(newEncryptionKey("1"));
export const SERVICE_SECRET = "a service secret of thirty-two characters";
const log = createLog({ name: "metering", level: (process.env.TEST_LOG ?? "silent") as "silent" });

/** identity as metering sees it: a log of everything that was ever made, and its head. */
export class IdentityLog implements IdentityFeed {
  readonly changesMade: MirrorChange[] = [];
  readonly pepper = parsePepper(newPepper("1"));
  readonly format = new KeyFormat({ peppers: [this.pepper] });
  incarnation: string = crypto.randomUUID();
  /** Whether it answers. */
  up = true;
  readonly root = this.account(undefined, "provider");

  get position(): Position {
    return { incarnation: this.incarnation, revision: this.changesMade.length };
  }

  async head(): Promise<Position> {
    if (!this.up) throw unavailable("identity is down");
    return this.position;
  }

  async changes(after: Position): Promise<readonly MirrorChange[]> {
    if (!this.up) throw unavailable("identity is down");
    return this.changesMade.slice(after.revision, this.position.revision).slice(0, 1000);
  }

  readonly snapshot = (): AsyncIterable<{ position: Position; entities: readonly MirrorEntity[] }> => {
    const { position } = this;
    const entities = this.changesMade.slice(0, position.revision).flatMap(({ entity }) => entity ?? []);
    return (async function* () {
      yield { position, entities };
    })();
  };

  close(): void {}

  account(parent: AccountNode | undefined, slug: string): AccountNode {
    return this.accountAs(mintId("acc"), parent, slug);
  }

  accountAs(id: string, parent: AccountNode | undefined, slug: string): AccountNode {
    const organizationId = parent === undefined ? undefined : (parent.organizationId ?? id);
    const status = "ACTIVE";
    const account: AccountNode = {
      id,
      parentId: parent?.id,
      organizationId,
      slug,
      formerSlugs: [],
      status,
      labels: {},
      type: "",
      scopeCeiling: [],
      isolated: false,
      roles: new Map(),
      acceptedTerms: new Map(),
      plan: "",
      upstreamCredential: "",
      providerRules: undefined,
    };
    return this.change(account);
  }

  /** An account as it is from now on. */
  change(account: AccountNode): AccountNode {
    this.#say({ kind: "ACCOUNT", account });
    return account;
  }

  key(
    account: AccountNode,
    kind: KeyNode["kind"] = "MASTER",
    parent?: KeyNode,
    roles: readonly string[] = ["administrator"],
  ): TestKey {
    const { keyId, presented, hash } = this.format.mint(kind);
    const key: KeyNode = {
      id: keyId,
      accountId: account.id,
      parentKeyId: parent?.id,
      kind,
      status: "ENABLED",
      name: "test",
      labels: {},
      secretHashes: [hash],
      retiringHashes: [],
      roles,
      scopes: [],
      endpoints: [],
      ipAllow: [],
      ipDeny: [],
      deniedIntegrations: [],
      signing: undefined,
      notBeforeMs: undefined,
      expiresAtMs: undefined,
    };
    this.#say({ kind: "KEY", key });
    return { ...key, presented };
  }

  revoke(key: KeyNode): void {
    this.put({ ...key, status: "REVOKED" });
  }

  /** A key as it is from now on. */
  put(key: KeyNode): void {
    this.#say({ kind: "KEY", key });
  }

  /** A plan as it is from now on; without limits it is gone. */
  plan(name: string, limits?: readonly LimitTerms[]): void {
    this.#say({ kind: "PLAN", name, limits });
  }

  meter(name: string): void {
    this.#say({ kind: "METER", name, isDeleted: false });
  }

  deleteMeter(name: string): void {
    this.#say({ kind: "METER", name, isDeleted: true });
  }

  #say(entity: MirrorEntity): void {
    this.changesMade.push({ revision: BigInt(this.changesMade.length + 1), entity });
  }
}

export type TestKey = KeyNode & { readonly presented: string };

/** metering on a database, with identity in the test's hands and time that can be moved. */
export async function startMetering(
  url: string,
  identity: IdentityLog,
  overrides: MeteringOverrides = {},
  config: Partial<MeteringConfig> = {},
) {
  const time = { offsetMs: 0 };
  const bus = overrides.bus ?? localBus({ log });
  const address = { host: "127.0.0.1", port: 0 };
  const metering = await createMetering(
    {
      grpc: address,
      http: address,
      databaseUrl: new Secret(url),
      natsUrls: undefined,
      identityAddress: "",
      serviceSecret: new Secret(SERVICE_SECRET),
      peppers: [identity.pepper],
      encryptionKeys: [ENCRYPTION_KEY],
      insecureWebhooks: true,
      keyPrefix: "gth",
      trustedProxies: undefined,
      usage: { minutesKeptMs: 35 * 86_400_000, quartersKeptMs: 1830 * 86_400_000 },
      auditRetentionDays: 400,
      serving: { maxCalls: 10_000, maxConnections: 10_000, drainDelayMs: 0 },
      tracing: { endpoint: undefined, ratio: 0 },
      logLevel: "silent",
      ...config,
    },
    log,
    { identity, clockOffsetMs: () => time.offsetMs, ...overrides, bus },
  );
  await metering.follower.prove();
  const { routes, guard } = metering;
  const server = await serve({ grpc: address, http: address, routes, guard, log, graceMs: 200 });
  server.setServing(true);
  const as = <S extends DescService>(service: S, credential: string) =>
    grpcClient(service, server.grpcAddress, { headers: { authorization: `Bearer ${credential}` } });
  return {
    ...metering,
    time,
    bus,
    httpAddress: server.httpAddress,
    limits: (key: TestKey) => as(LimitService, key.presented),
    audit: (key: TestKey) => as(AuditService, key.presented),
    alerts: (key: TestKey) => as(AlertService, key.presented),
    credits: (key: TestKey) => as(CreditService, key.presented),
    usage: (key: TestKey) => as(UsageService, key.presented),
    holdings: (credential: string = SERVICE_SECRET) => as(HoldingService, credential),
    control: as(ControlService, SERVICE_SECRET),
    leases: as(LeaseService, SERVICE_SECRET),
    ingest: as(IngestService, SERVICE_SECRET),
    feed: as(FeedService, SERVICE_SECRET),
    /** Rows of metering's own schema, for what no RPC shows. */
    async query<Row>(text: string, parameters: unknown[]): Promise<Row[]> {
      const client = new pg.Client({ connectionString: url, options: "-c search_path=metering" });
      await client.connect();
      try {
        return (await client.query(text, parameters)).rows as Row[];
      } finally {
        await client.end();
      }
    },
    async stop() {
      await server.close();
      await metering.close();
    },
  };
}

export type TestMetering = Awaited<ReturnType<typeof startMetering>>;
