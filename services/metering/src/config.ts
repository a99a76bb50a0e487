import { addressList, peppers } from "@gatehouse/access/settings";
import { type ConfigOf, optional, readConfig, config as settings } from "@gatehouse/service";

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
  keyPrefix: settings.text("GATEHOUSE_KEY_PREFIX", "gth"),
  /** The proxies whose X-Forwarded-For is believed. */
  trustedProxies: optional(addressList("GATEHOUSE_TRUSTED_PROXIES")),
  logLevel: settings.choice("GATEHOUSE_LOG_LEVEL", ["debug", "info", "warn", "error", "silent"], "info"),
};

/** The configuration of metering. */
export type MeteringConfig = ConfigOf<typeof spec>;

/** Reads and checks everything at once. Throws ConfigError naming each variable that is missing or wrong. */
export function readMeteringConfig(env: Readonly<Record<string, string | undefined>>): MeteringConfig {
  return readConfig(env, spec);
}
