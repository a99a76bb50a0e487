import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import pg from "pg";
import { migrations } from "../../services/identity/src/storage/migrations/index.ts";

/** A database as an older release left it, with many keys, and what migrating it took. */
export interface Filled {
  readonly rootKey: string;
  readonly pepper: string;
  readonly crowdedAccount: string;
  /** One of those that share the other half. */
  readonly ordinaryAccount: string;
  readonly organization: string;
  /** Seconds by migration, the first of which found an empty database. */
  readonly migrationSeconds: Readonly<Record<string, number>>;
}

export interface FillOptions {
  readonly url: string;
  /** Half of them in one account, the others spread evenly. */
  readonly keys: number;
  readonly accounts: number;
}

const id = (prefix: string, n: string) => `'${prefix}_' || lpad((${n})::text, 20, '0')`;
const ROOT = `acc_${"0".repeat(20)}`;
const ORGANIZATION = `acc_${"1".padStart(20, "0")}`;
const ORDINARY = `acc_${"3".padStart(20, "0")}`;
const CROWDED = `acc_${"2".padStart(20, "0")}`;

/** Makes the first release's schema, fills it by set-based statements, and runs every later migration. */
export async function fill({ url, keys, accounts }: FillOptions): Promise<Filled> {
  const sql = new pg.Client({ connectionString: url, options: "-c search_path=identity,public" });
  await sql.connect();
  try {
    await sql.query("CREATE SCHEMA identity");
    await sql.query(
      "CREATE TABLE identity.migrations (id serial PRIMARY KEY, timestamp bigint NOT NULL, name varchar NOT NULL)",
    );
    const pepper = newPepper("1");
    const migrationSeconds: Record<string, number> = {};
    let rootKey = "";
    for (const Migration of migrations) {
      const migration = new Migration();
      const name = migration.name ?? Migration.name;
      const beganMs = performance.now();
      await sql.query("BEGIN");
      await migration.up({ query: (text: string) => sql.query(text) } as never);
      await sql.query("INSERT INTO migrations (timestamp, name) VALUES ($1, $2)", [name.slice(-13), name]);
      await sql.query("COMMIT");
      migrationSeconds[name] = (performance.now() - beganMs) / 1000;
      if (rootKey === "") rootKey = await insert(sql, pepper, keys, accounts);
    }
    await sql.query(`UPDATE definition SET body = body || '{"accounts": 1000000, "keysPerAccount": 1000000}'
                     WHERE kind = 'plan'`);
    return {
      rootKey,
      pepper,
      crowdedAccount: CROWDED,
      ordinaryAccount: ORDINARY,
      organization: ORGANIZATION,
      migrationSeconds,
    };
  } finally {
    await sql.end();
  }
}

async function insert(sql: pg.Client, pepper: string, keys: number, accounts: number): Promise<string> {
  const account = `INSERT INTO account (id, parent_id, organization_id, path, slug_space, slug, name, status,
    suspension_reason, plan, profile, labels, created_at, updated_at)`;
  const rest = "'ACTIVE', '', 'default', '{}', '{}', now(), now()";
  await sql.query(`${account} VALUES ('${ROOT}', NULL, NULL, ARRAY['${ROOT}'], '', 'provider', 'Provider', ${rest}),
    ('${ORGANIZATION}', '${ROOT}', '${ORGANIZATION}', ARRAY['${ROOT}', '${ORGANIZATION}'], '${ROOT}', 'bench', 'Bench', ${rest})`);
  await sql.query(`${account} SELECT ${id("acc", "n + 1")}, '${ORGANIZATION}', '${ORGANIZATION}',
    ARRAY['${ROOT}', '${ORGANIZATION}', ${id("acc", "n + 1")}], '${ORGANIZATION}', 'team-' || n, 'Team ' || n, ${rest}
    FROM generate_series(1, ${accounts}) n`);
  const key = `INSERT INTO key (id, account_id, parent_key_id, kind, status, name, masked, secret_hashes, roles, scopes,
    labels, created_at, updated_at)`;
  // The even ones in the crowded account.
  await sql.query(`${key} SELECT ${id("key", "n")},
    CASE WHEN n % 2 = 0 THEN '${CROWDED}' ELSE ${id("acc", `2 + n / 2 % ${accounts}`)} END, NULL, 'ACCOUNT', 'ENABLED',
    'key ' || n, 'gth_acc_0000', ARRAY[md5(n::text)], '{developer}', '{weather.**}', '{"team": "bench"}', now(), now()
    FROM generate_series(1, ${keys}) n`);
  const { keyId, presented, hash } = new KeyFormat({ peppers: [parsePepper(pepper)] }).mint("MASTER");
  await sql.query(
    `${key} VALUES ($1, '${ROOT}', NULL, 'MASTER', 'ENABLED', 'root', 'gth_mst_0000', ARRAY[$2], '{}',
    '{**}', '{}', now(), now())`,
    [keyId, hash],
  );
  await sql.query("ANALYZE");
  return presented;
}
