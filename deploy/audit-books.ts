/**
 * Derives metering's balances, leases and rollups again from the ledger and from usage by minute, and prints what
 * differs. Services may run meanwhile. Reads GATEHOUSE_DATABASE_URL, or GATEHOUSE_DATABASE_URL_FILE, as they do. Ends
 * with 1 where something differs, or where it could not look.
 */
import { auditDatabase } from "@gatehouse/metering";
import { ConfigError, readConfig, config as settings } from "@gatehouse/service";

async function main(): Promise<void> {
  const { databaseUrl } = readConfig(process.env, { databaseUrl: settings.secret("GATEHOUSE_DATABASE_URL") });
  const { looked, differences } = await auditDatabase(databaseUrl.reveal(), ({ what, of, is, shouldBe }) =>
    console.log(`${what} of ${of} is ${is} and should be ${shouldBe}`),
  );
  console.log(`${looked} looked at, ${differences} differences`);
  if (differences > 0) process.exitCode = 1;
}

main().catch((error: Error) => {
  console.error(error instanceof ConfigError ? error.message : `not done: ${error.message}`);
  process.exitCode = 1;
});
