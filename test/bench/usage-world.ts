/** An organization with accounts and keys as metering knows them, and its database, for benches of usage. */
import { mintId } from "@gatehouse/keys";
import { AccountService } from "@gatehouse/proto/identity";
import { grpcClient } from "@gatehouse/service";
import pg from "pg";
import { type Deployment, deploy, MEASURED_CORE } from "./deployment.ts";
import { timely } from "./warm-keys.ts";

export interface UsageWorld {
  readonly deployment: Deployment;
  readonly organization: string;
  readonly accounts: readonly string[];
  readonly keys: readonly { readonly id: string; readonly account: string }[];
  /** A connection to metering's schema. */
  connect(): Promise<pg.Client>;
  stop(): Promise<void>;
}

/** Keys are put into metering's mirror by hand: thousands through the API would take longer than the bench. */
export async function makeUsageWorld(accountCount: number, keyCount: number): Promise<UsageWorld> {
  const deployment = await deploy({ meteringCore: MEASURED_CORE });
  const open: pg.Client[] = [];
  const connect = async () => {
    const options = "-c search_path=metering -c timezone=UTC";
    const client = new pg.Client({ connectionString: deployment.databaseUrl, options });
    await client.connect();
    open.push(client);
    return client;
  };
  const stop = async () => {
    await Promise.all(open.map((client) => client.end()));
    await deployment.stop();
  };
  try {
    const { rootKey, identity } = deployment;
    const client = grpcClient(AccountService, identity, { headers: { "x-api-key": rootKey } });
    const organization = (await client.createAccount({ name: "Bench" }, timely)).account!.id;
    const accounts: string[] = [];
    for (let i = 0; i < accountCount; i++) {
      const { account } = await client.createAccount({ parent: organization, name: `Team ${i}` }, timely);
      accounts.push(account!.id);
    }
    client.close();
    const keys = Array.from({ length: keyCount }, (_, i) => ({
      id: mintId("key") as string,
      account: accounts[i % accountCount]!,
    }));
    const sql = await connect();
    await sql.query(
      "INSERT INTO key (id, account_id, hashes, node) SELECT k, a, '{}', '{}' FROM unnest($1::text[], $2::text[]) AS n(k, a)",
      [keys.map(({ id }) => id), keys.map(({ account }) => account)],
    );
    return { deployment, organization, accounts, keys, connect, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** How often a second some callers finish, one call after another each. */
export async function perSecond(
  callers: number,
  seconds: number,
  call: (caller: number) => Promise<unknown>,
): Promise<number> {
  let calls = 0;
  const beganMs = performance.now();
  const run = async (_: unknown, caller: number) => {
    for (; performance.now() - beganMs < seconds * 1000; calls++) await call(caller);
  };
  await Promise.all(Array.from({ length: callers }, run));
  return calls / ((performance.now() - beganMs) / 1000);
}
