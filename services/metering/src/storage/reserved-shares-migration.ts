import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Shares that limits have of a bucket above, and the rows of these shares in the buckets.
 *
 * Locks node_limit and quota_bucket exclusively: for a moment, and for as long as it takes to build an index of the
 * latter, a second for a million rows.
 */
export class ReservedShares1764410000000 implements MigrationInterface {
  readonly name = "ReservedShares1764410000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- How much of the bucket of which limit is kept for this one's node.
      ALTER TABLE node_limit ADD COLUMN reserved_share double precision,
        ADD COLUMN reserved_of text COLLATE "C";
      CREATE INDEX node_limit_reserved_of ON node_limit (reserved_of) WHERE reserved_of IS NOT NULL;

      -- The node that the row is kept for; empty for what is common to all.
      ALTER TABLE quota_bucket ADD COLUMN share_node text COLLATE "C" NOT NULL DEFAULT '',
        DROP CONSTRAINT quota_bucket_limit_id_window_start_key,
        ADD CONSTRAINT quota_bucket_window UNIQUE (limit_id, window_start, share_node);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      UPDATE quota_bucket c SET spent = c.spent + s.spent, leased = c.leased + s.leased
      FROM (SELECT limit_id, window_start, sum(spent) AS spent, sum(leased) AS leased FROM quota_bucket
            WHERE share_node <> '' GROUP BY limit_id, window_start) AS s
      WHERE c.limit_id = s.limit_id AND c.window_start = s.window_start AND c.share_node = '';
      UPDATE quota_lease l SET limit_id = b.limit_id, bucket_id = c.id
      FROM quota_bucket b JOIN quota_bucket c
        ON c.limit_id = b.limit_id AND c.window_start = b.window_start AND c.share_node = ''
      WHERE l.bucket_id = b.id AND l.limit_id <> b.limit_id;
      DELETE FROM quota_bucket WHERE share_node <> '';
      ALTER TABLE quota_bucket DROP CONSTRAINT quota_bucket_window, DROP COLUMN share_node,
        ADD CONSTRAINT quota_bucket_limit_id_window_start_key UNIQUE (limit_id, window_start);
      ALTER TABLE node_limit DROP COLUMN reserved_share, DROP COLUMN reserved_of;
    `);
  }
}
