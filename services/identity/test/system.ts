import { newEncryptionKey, newPepper } from "@gatehouse/keys";
import {
  AccountService,
  AuditService,
  CatalogService,
  FeedService,
  IntegrationService,
  KeyService,
  MemberService,
  MeterService,
  PlanService,
  RoleService,
  TermsService,
  TypeService,
  WebhookService,
} from "@gatehouse/proto/identity";
import { createLog, type GrpcClient, grpcClient, serve } from "@gatehouse/service";
import { startTestPostgres } from "@gatehouse/stack/test-postgres";
import pg from "pg";
import { createIdentity, type Identity, type IdentityOverrides, readIdentityConfig } from "../src/index.ts";

const SERVICE_SECRET = "the service secret of a test, long enough";
export const timely = { timeoutMs: 20_000 };

/** What one key can call. */
export interface Caller {
  readonly accounts: GrpcClient<typeof AccountService>;
  readonly keys: GrpcClient<typeof KeyService>;
  readonly meters: GrpcClient<typeof MeterService>;
  readonly roles: GrpcClient<typeof RoleService>;
  readonly plans: GrpcClient<typeof PlanService>;
  readonly catalog: GrpcClient<typeof CatalogService>;
  readonly types: GrpcClient<typeof TypeService>;
  readonly integrations: GrpcClient<typeof IntegrationService>;
  readonly terms: GrpcClient<typeof TermsService>;
  readonly members: GrpcClient<typeof MemberService>;
  readonly webhooks: GrpcClient<typeof WebhookService>;
  readonly audit: GrpcClient<typeof AuditService>;
}

/** identity on real sockets over a real Postgres. */
export interface System {
  readonly identity: Identity;
  readonly rootKey: string;
  readonly root: Caller;
  readonly feed: GrpcClient<typeof FeedService>;
  /** A connection beside identity's own. */
  readonly sql: pg.Client;
  readonly databaseUrl: string;
  /** Environment variables as a deployment would set them. */
  readonly environment: Readonly<Record<string, string>>;
  as(key: string): Caller;
  /** One call by HTTP and JSON, as text. */
  json(key: string, method: string, body: unknown): Promise<{ status: number; body: string }>;
  stopDatabase(): Promise<void>;
  stop(): Promise<void>;
}

/** `settings` are environment variables besides those that every test has. */
export async function startSystem(
  overrides: IdentityOverrides = {},
  settings: Readonly<Record<string, string>> = {},
): Promise<System> {
  const postgres = await startTestPostgres();
  const environment = {
    GATEHOUSE_DATABASE_URL: postgres.url,
    GATEHOUSE_SERVICE_SECRET: SERVICE_SECRET,
    GATEHOUSE_PEPPERS: newPepper("a"),
    GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("a"),
    ...settings,
  };
  const log = createLog({ name: "test", level: "error" });
  const identity = await createIdentity(readIdentityConfig(environment), log, overrides);
  const { routes, guard } = identity;
  const anyPort = { host: "127.0.0.1", port: 0 };
  const server = await serve({ grpc: anyPort, http: anyPort, routes, guard, log });
  const sql = new pg.Client({ connectionString: postgres.url, options: "-c search_path=identity" });
  await sql.connect();
  // The server ends it where a test stops the database.
  sql.on("error", () => {});
  const clients: { close(): void }[] = [];
  let databaseStopped: Promise<void> | undefined;

  function open<C extends { close(): void }>(client: C): C {
    clients.push(client);
    return client;
  }
  function stopDatabase(): Promise<void> {
    databaseStopped ??= postgres.stop();
    return databaseStopped;
  }
  function as(key: string): Caller {
    const options = { headers: { "x-api-key": key } };
    return {
      accounts: open(grpcClient(AccountService, server.grpcAddress, options)),
      keys: open(grpcClient(KeyService, server.grpcAddress, options)),
      meters: open(grpcClient(MeterService, server.grpcAddress, options)),
      roles: open(grpcClient(RoleService, server.grpcAddress, options)),
      plans: open(grpcClient(PlanService, server.grpcAddress, options)),
      catalog: open(grpcClient(CatalogService, server.grpcAddress, options)),
      types: open(grpcClient(TypeService, server.grpcAddress, options)),
      integrations: open(grpcClient(IntegrationService, server.grpcAddress, options)),
      terms: open(grpcClient(TermsService, server.grpcAddress, options)),
      members: open(grpcClient(MemberService, server.grpcAddress, options)),
      webhooks: open(grpcClient(WebhookService, server.grpcAddress, options)),
      audit: open(grpcClient(AuditService, server.grpcAddress, options)),
    };
  }

  const rootKey = identity.bootstrapped.rootKey!;
  const headers = { authorization: `Bearer ${SERVICE_SECRET}` };
  return {
    identity,
    rootKey,
    root: as(rootKey),
    feed: open(grpcClient(FeedService, server.grpcAddress, { headers })),
    sql,
    databaseUrl: postgres.url,
    environment,
    as,
    async json(key, method, body) {
      const response = await fetch(`http://${server.httpAddress}/gatehouse.identity.v1.${method}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-api-key": key },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.text() };
    },
    stopDatabase,
    async stop() {
      for (const client of clients) client.close();
      await server.close();
      await identity.close();
      await sql.end();
      await stopDatabase();
    },
  };
}

/** The reason that a call fails with. */
export function reasonOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "OK",
    (failure: { reason: string }) => failure.reason,
  );
}

/** The fields that a call names as bad. */
export function badFieldsOf(call: Promise<unknown>): Promise<string[]> {
  return call.then(
    () => [],
    (failure: { violations: readonly { field: string }[] }) => failure.violations.map(({ field }) => field),
  );
}
