import { hostname } from "node:os";
import { addressList, encryptionKeys, peppers } from "@gatehouse/access/settings";
import {
  CALLS_MAX,
  CONNECTIONS_MAX,
  type ConfigOf,
  optional,
  readConfig,
  serverTls,
  config as settings,
} from "@gatehouse/service";
import { checkOpenVerify } from "./open-verify.ts";

const spec = {
  grpc: settings.address("GATEHOUSE_AUTHZ_GRPC", { host: "127.0.0.1", port: 7102 }),
  http: settings.address("GATEHOUSE_AUTHZ_HTTP", { host: "127.0.0.1", port: 7202 }),
  /** For both listeners. With a client CA, clients' certificates can stand for verifier keys. */
  tls: serverTls({
    cert: "GATEHOUSE_TLS_CERT",
    key: "GATEHOUSE_TLS_KEY",
    clientCa: "GATEHOUSE_TLS_CLIENT_CA",
  }),
  /** Lets calls without any credential in, for a sidecar. */
  openVerify: {
    enabled: settings.flag("GATEHOUSE_OPEN_VERIFY", false),
    beyondLoopback: settings.flag("GATEHOUSE_OPEN_VERIFY_BEYOND_LOOPBACK", false),
  },
  /** Where identity and metering answer gRPC: an address, or several separated by commas. */
  identityAddress: settings.text("GATEHOUSE_IDENTITY_ADDRESS", "127.0.0.1:7101"),
  meteringAddress: settings.text("GATEHOUSE_METERING_ADDRESS", "127.0.0.1:7103"),
  natsUrls: optional(settings.list("GATEHOUSE_NATS_URL")),
  /** What Gatehouse's own services present to each other. */
  serviceSecret: settings.secret("GATEHOUSE_SERVICE_SECRET", { minLength: 32 }),
  peppers: peppers("GATEHOUSE_PEPPERS"),
  /** Open the secrets of keys that sign, and upstream credentials. Without them neither works. */
  encryptionKeys: optional(encryptionKeys("GATEHOUSE_ENCRYPTION_KEYS")),
  keyPrefix: settings.text("GATEHOUSE_KEY_PREFIX", "gth"),
  /** How far from now a signed request's timestamp may be, either way. */
  signatureWindowMs: settings.durationMs("GATEHOUSE_SIGNATURE_WINDOW", { min: 1000, max: 300_000 }, 30_000),
  /** The proxies whose X-Forwarded-For is believed. */
  trustedProxies: optional(addressList("GATEHOUSE_TRUSTED_PROXIES")),
  spool: {
    /** On a local disk, for this replica alone. */
    directory: settings.text("GATEHOUSE_SPOOL_DIR", ".gatehouse/spool"),
    /** Who ships it: one name for each spool directory. */
    producer: settings.text("GATEHOUSE_PRODUCER", `authz-${hostname()}`),
    /** What a crash may lose: `off` all that is not shipped, `cache` what the kernel had not written, `fsync` nothing. */
    sync: settings.choice("GATEHOUSE_SPOOL_SYNC", ["off", "cache", "fsync"], "cache"),
  },
  cache: {
    keys: settings.integer("GATEHOUSE_CACHE_KEYS", { min: 1000, max: 10_000_000 }, 1_000_000),
    /** What they may weigh with their accounts, as estimated; by default, what a million ordinary ones do in use. */
    bytes: settings.integer(
      "GATEHOUSE_CACHE_BYTES",
      { min: 16_000_000, max: 1_000_000_000_000 },
      2_500_000_000,
    ),
    lifetimeMs: settings.durationMs("GATEHOUSE_CACHE_LIFETIME", { min: 1000, max: 86_400_000 }, 600_000),
  },
  freshness: {
    boundMs: settings.durationMs("GATEHOUSE_FRESHNESS_BOUND", { min: 300, max: 1000 }, 1000),
    stalenessMaxMs: settings.durationMs("GATEHOUSE_STALENESS_MAX", { min: 0, max: 3_600_000 }, 10_000),
  },
  /** Processes behind one port, each a replica of its own. */
  workers: settings.workers("GATEHOUSE_WORKERS", 64),
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

export type AuthzConfig = ConfigOf<typeof spec>;

/** Reads and checks everything at once. Throws ConfigError naming each variable that is missing or wrong. */
export function readAuthzConfig(env: Readonly<Record<string, string | undefined>>): AuthzConfig {
  const config = readConfig(env, spec);
  checkOpenVerify(config.openVerify, [config.grpc, config.http]);
  return config;
}
