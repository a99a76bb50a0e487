import { addressList, encryptionKeys, peppers } from "@gatehouse/access/settings";
import {
  CALLS_MAX,
  CONNECTIONS_MAX,
  type ConfigOf,
  optional,
  readConfig,
  config as settings,
} from "@gatehouse/service";

const spec = {
  grpc: settings.address("GATEHOUSE_IDENTITY_GRPC", { host: "127.0.0.1", port: 7101 }),
  http: settings.address("GATEHOUSE_IDENTITY_HTTP", { host: "127.0.0.1", port: 7201 }),
  databaseUrl: settings.secret("GATEHOUSE_DATABASE_URL"),
  natsUrls: optional(settings.list("GATEHOUSE_NATS_URL")),
  /** Where metering answers gRPC. Without it no account can be closed, and no rate on calls to identity is charged. */
  meteringAddress: optional(settings.text("GATEHOUSE_METERING_ADDRESS")),
  /** What Gatehouse's own services present to each other. */
  serviceSecret: settings.secret("GATEHOUSE_SERVICE_SECRET", { minLength: 32 }),
  peppers: peppers("GATEHOUSE_PEPPERS"),
  encryptionKeys: encryptionKeys("GATEHOUSE_ENCRYPTION_KEYS"),
  keyPrefix: settings.text("GATEHOUSE_KEY_PREFIX", "gth"),
  /** The proxies whose X-Forwarded-For is believed. */
  trustedProxies: optional(addressList("GATEHOUSE_TRUSTED_PROXIES")),
  /** Lets webhooks be at `http` and at any address, a private one too. For development and tests. */
  insecureWebhooks: settings.flag("GATEHOUSE_WEBHOOK_INSECURE", false),
  /** How long the audit is kept, in days. */
  auditRetentionDays: settings.integer("GATEHOUSE_AUDIT_RETENTION_DAYS", { min: 1, max: 36_500 }, 400),
  /** Used at the first start only. */
  rootKey: optional(settings.secret("GATEHOUSE_ROOT_KEY")),
  /** Where the first start leaves a root key that was not handed in. */
  dataDirectory: settings.text("GATEHOUSE_DATA_DIRECTORY", ".gatehouse"),
  /** What is taken at once, by each process; and how long calls are still taken once it has said that it closes. */
  serving: {
    maxCalls: settings.integer("GATEHOUSE_MAX_CALLS", { min: 100, max: 1_000_000 }, CALLS_MAX),
    maxConnections: settings.integer(
      "GATEHOUSE_MAX_CONNECTIONS",
      { min: 10, max: 1_000_000 },
      CONNECTIONS_MAX,
    ),
    drainDelayMs: settings.durationMs("GATEHOUSE_DRAIN_DELAY", { min: 0, max: 60_000 }, 1000),
  },
  /** Where spans of traced calls go, and the share of calls that begin a trace. */
  tracing: {
    endpoint: settings.traceEndpoint("GATEHOUSE_TRACE_ENDPOINT"),
    ratio: settings.share("GATEHOUSE_TRACE_RATIO", 0.01),
  },
  logLevel: settings.choice("GATEHOUSE_LOG_LEVEL", ["debug", "info", "warn", "error", "silent"], "info"),
};

export type IdentityConfig = ConfigOf<typeof spec>;

/** Reads and checks everything at once. Throws ConfigError naming each variable that is missing or wrong. */
export function readIdentityConfig(env: Readonly<Record<string, string | undefined>>): IdentityConfig {
  return readConfig(env, spec);
}
