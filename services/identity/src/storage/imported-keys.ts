import type { Tx } from "@gatehouse/changefeed";
import { alreadyExists, type Failure } from "@gatehouse/service/failure";
import type { EntityManager } from "typeorm";
import type { ImportedReads, ImportedWrites, Taken } from "../domain/keys/import-keys.ts";
import type { Key } from "../domain/keys/key.ts";
import { violatedUnique } from "./constraint.ts";
import { keyRow, keyRows } from "./key-row.ts";

/**
 * The ids of keys that a hash is a credential of, current or in its grace; for use in a statement that has the
 * hashes as `$1`. Both halves walk an index.
 */
const imported = `
  SELECT secret_hashes[1] AS hash, id FROM key
  WHERE imported AND status <> 'REVOKED' AND secret_hashes[1] = ANY ($1)
  UNION ALL
  SELECT h.hash, k.id FROM unnest($1::text[]) AS h(hash)
  JOIN key k ON k.retiring_hashes @> jsonb_build_array(jsonb_build_object('hash', h.hash))
  WHERE k.retiring_hashes <> '[]' AND k.status <> 'REVOKED'
`;

const retired = "SELECT hash FROM retired_credential WHERE hash = ANY ($1)";

/** Imported keys, by hash. */
export class ImportedReader implements ImportedReads {
  protected readonly manager: EntityManager;

  constructor(manager: EntityManager) {
    this.manager = manager;
  }

  async find(hashes: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.manager.query<{ hash: string; id: string }[]>(imported, [hashes]);
    return new Map(rows.map(({ hash, id }) => [hash, id]));
  }

  async prefixes(): Promise<readonly string[]> {
    const [root] = await this.manager.query<{ import_prefixes: string[] }[]>(
      "SELECT import_prefixes FROM account WHERE parent_id IS NULL",
    );
    return root?.import_prefixes ?? [];
  }
}

/** Imports. Every key is on the change log. */
export class ImportedWriter extends ImportedReader implements ImportedWrites {
  readonly #tx: Tx;

  constructor(tx: Tx) {
    super(tx.manager);
    this.#tx = tx;
  }

  async taken(accountId: string, names: readonly string[], hashes: readonly string[]): Promise<Taken> {
    const rows = await this.manager.query<{ name: string }[]>(
      "SELECT name FROM key WHERE account_id = $1 AND name = ANY ($2) AND status <> 'REVOKED'",
      [accountId, names],
    );
    // One statement: between two of them a key that has the hash could be revoked.
    const credentials = await this.manager.query<{ hash: string }[]>(
      `SELECT hash FROM (${imported}) AS living UNION ALL ${retired}`,
      [hashes],
    );
    const hashesOf = new Set(credentials.map(({ hash }) => hash));
    return { names: new Set(rows.map(({ name }) => name)), hashes: hashesOf };
  }

  async retire(hashes: readonly string[], at: Date): Promise<void> {
    await this.manager.query(
      "INSERT INTO retired_credential (hash, at) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING",
      [hashes, at],
    );
  }

  // One statement: five hundred would hold the account's gate for as many round trips.
  async insert(keys: readonly Key[]): Promise<void> {
    for (const { id } of keys) this.#tx.changed("key", id);
    try {
      await this.manager.insert(keyRows, keys.map(keyRow));
      // Taken and given up again meanwhile. From here on the new rows keep others from taking it.
      const hashes = keys.flatMap(({ secretHashes }) => secretHashes);
      if ((await this.manager.query(retired, [hashes])).length > 0) throw credentialTaken();
    } catch (error) {
      // What `taken` saw free can have been taken since: by a rename, or by an import into another account.
      const constraint = violatedUnique(error);
      if (constraint === "key_name_key") {
        throw alreadyExists("NAME_TAKEN", "a living key of the account has one of the names");
      }
      if (constraint === "key_imported_key") {
        throw credentialTaken();
      }
      throw error;
    }
  }
}

function credentialTaken(): Failure {
  return alreadyExists("CREDENTIAL_TAKEN", "one of the credentials is, or was, that of a key");
}
