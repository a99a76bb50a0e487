import { addressList, encryptionKeys, peppers } from "@gatehouse/access/settings";
import {
  CALLS_MAX,
  CONNECTIONS_MAX,
  type ConfigOf,
  optional,
  readConfig,
  config as settings,
} from "@gatehouse/service";

const DAY_MS = 86_400_000;

const spec = {
  grpc: settings.address("GATEHOUSE_METERING_GRPC", { host: "127.0.0.1", port: 7103 }),
  http: settings.address("GATEHOUSE_METERING_HTTP", { host: "127.0.0.1", port: 7203 }),
  databaseUrl: settings.secret("GATEHOUSE_DATABASE_URL"),
  natsUrls: optional(settings.list("GATEHOUSE_NATS_URL")),
  /** Where identity answers gRPC; any name that grpc-js resolves. */
  identityAddress: settings.text("GATEHOUSE_IDENTITY_ADDRESS", "127.0.0.1:7101"),
  /** What Gatehouse's own services present to each other. */
  serviceSecret: settings.secret("GATEHOUSE_SERVICE_SECRET", { minLength: 32 }),
  peppers: peppers("GATEHOUSE_PEPPERS"),
  /** Seal what deliveries to alerts' webhooks are signed with. */
  encryptionKeys: encryptionKeys("GATEHOUSE_ENCRYPTION_KEYS"),
  keyPrefix: settings.text("GATEHOUSE_KEY_PREFIX", "gth"),
  /** The proxies whose X-Forwarded-For is believed. */
  trustedProxies: optional(addressList("GATEHOUSE_TRUSTED_PROXIES")),
  /** Lets alerts' webhooks be at `http` and at any address, a private one too. For development and tests. */
  insecureWebhooks: settings.flag("GATEHOUSE_WEBHOOK_INSECURE", false),
  /** How long usage is kept, by minute and by quarter of an hour; events are taken for as long as minutes are. */
  usage: {
    minutesKeptMs: settings.durationMs(
      "GATEHOUSE_USAGE_MINUTES_KEPT",
      { min: DAY_MS, max: 800 * DAY_MS },
      35 * DAY_MS,
    ),
    quartersKeptMs: settings.durationMs(
      "GATEHOUSE_USAGE_QUARTERS_KEPT",
      { min: 62 * DAY_MS, max: 36_600 * DAY_MS },
      1830 * DAY_MS,
    ),
  },
  auditRetentionDays: settings.integer("GATEHOUSE_AUDIT_RETENTION_DAYS", { min: 1, max: 36_500 }, 400),
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

/** The configuration of metering. */
export type MeteringConfig = ConfigOf<typeof spec>;

/** Reads and checks everything at once. Throws ConfigError naming each variable that is missing or wrong. */
export function readMeteringConfig(env: Readonly<Record<string, string | undefined>>): MeteringConfig {
  return readConfig(env, spec);
}
