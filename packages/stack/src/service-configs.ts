import { join } from "node:path";
import { type AuthzConfig, readAuthzConfig } from "@gatehouse/authz";
import { type IdentityConfig, readIdentityConfig } from "@gatehouse/identity";
import { type MeteringConfig, readMeteringConfig } from "@gatehouse/metering";
import type { Environment } from "@gatehouse/service";
import type { Secrets } from "./secrets.ts";

/** What the services of one stack are configured with. */
export interface ServiceConfigs {
  readonly identity: IdentityConfig;
  readonly authz: AuthzConfig;
  readonly metering: MeteringConfig;
}

/** Stands in for what is known only once it runs: the database's URL. */
const NOT_YET = "postgres://not-yet";

/**
 * Reads all three before anything is started, so that every mistake is told at once. The environment decides
 * everything but what the stack makes itself. Throws ConfigError.
 */
export function readServiceConfigs(
  environment: Environment,
  directory: string,
  secrets: Secrets,
): ServiceConfigs {
  const variables = {
    // Callers have no other replica to go to meanwhile.
    GATEHOUSE_DRAIN_DELAY: "0",
    ...environment,
    GATEHOUSE_DATABASE_URL: NOT_YET,
    GATEHOUSE_SERVICE_SECRET: secrets.serviceSecret,
    GATEHOUSE_PEPPERS: secrets.peppers,
    GATEHOUSE_ENCRYPTION_KEYS: secrets.encryptionKeys,
    // None from outside has a tag by the peppers above.
    GATEHOUSE_ROOT_KEY: undefined,
    GATEHOUSE_ROOT_KEY_FILE: undefined,
    GATEHOUSE_SPOOL_DIR: join(directory, "spool"),
    GATEHOUSE_PRODUCER: "authz",
  };
  return {
    identity: readIdentityConfig(variables),
    authz: readAuthzConfig(variables),
    metering: readMeteringConfig(variables),
  };
}
