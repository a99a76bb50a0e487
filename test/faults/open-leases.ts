import pg from "pg";
import type { System } from "../system/system.ts";

/** What metering says is lent of the limits on a node, by holder: `authz-0/7: 20 of lim_…`. For what a test shows. */
export async function openLeases(system: System, nodeId: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: system.databaseUrl, options: "-c search_path=metering" });
  await client.connect();
  try {
    const { rows } = await client.query<{ text: string }>(
      `SELECT format('%s: %s of %s, spent %s, %s s old, forfeited %s', l.holder, l.units, l.limit_id, l.spent,
         round(extract(epoch FROM clock_timestamp() - l.deadline)), l.forfeited) AS text
       FROM quota_lease l JOIN node_limit n ON n.id = l.limit_id WHERE n.node_id = $1 AND NOT l.closed`,
      [nodeId],
    );
    return rows.map(({ text }) => text);
  } finally {
    await client.end();
  }
}
