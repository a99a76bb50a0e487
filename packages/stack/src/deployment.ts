import { type Environment, lockDirectory } from "@gatehouse/service";
import { readNewRootKey, writeNewRootKey } from "./root-key.ts";
import { keepSecrets, newSecrets, readSecrets, type Secrets } from "./secrets.ts";
import { readServiceConfigs, type ServiceConfigs } from "./service-configs.ts";
import { StartError } from "./start-error.ts";
import { refuseTakenAddresses } from "./taken-addresses.ts";

/** A data directory that this process has to itself, with all that a start needs checked and kept. */
export interface Deployment {
  readonly configs: ServiceConfigs;
  readonly secrets: Secrets;
  /** Handed to identity, until it has taken it. */
  readonly newRootKey: string | undefined;
  /** Lets another process have the directory. */
  release(): void;
}

/**
 * Takes the directory before looking at anything in it: a second start would stop the Postgres of the first. Checks
 * configuration and addresses before anything is kept. Throws StartError or ConfigError.
 */
export async function openDeployment(directory: string, environment: Environment): Promise<Deployment> {
  const lock = lockDirectory(directory);
  if (lock === undefined) throw new StartError(`${directory} is in use by another npm start`);
  try {
    const kept = await readSecrets(directory);
    const secrets = kept ?? newSecrets();
    const configs = readServiceConfigs(environment, directory, secrets);
    await refuseTakenAddresses(configs);
    if (kept === undefined) {
      await writeNewRootKey(directory, configs.identity);
      await keepSecrets(secrets, directory);
    }
    const newRootKey = await readNewRootKey(directory);
    return { configs, secrets, newRootKey, release: () => lock.close() };
  } catch (error) {
    lock.close();
    throw error;
  }
}
