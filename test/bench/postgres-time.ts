/** Processor time of a Postgres, which is many processes; Linux says it in /proc, in hundredths of a second. */
import { readFile } from "node:fs/promises";
import type pg from "pg";

/** Few processes of it end in a second. */
const MAX_LOOKS = 10;

/** Seconds that all of its processes have used, those included that have ended. */
export async function postgresSeconds(sql: pg.Client): Promise<number> {
  const { rows } = await sql.query<{ pid: number; mine: boolean }>(
    "SELECT pid, pid = pg_backend_pid() AS mine FROM pg_stat_activity",
  );
  const { parent } = (await timesOf(rows.find(({ mine }) => mine)!.pid))!;
  for (let look = 0; look < MAX_LOOKS; look++) {
    const before = (await timesOf(parent))!;
    const living = await Promise.all(rows.map(({ pid }) => timesOf(pid)));
    const { used, ofEnded } = (await timesOf(parent))!;
    // One that ended meanwhile would count twice, or not at all.
    if (ofEnded === before.ofEnded) {
      return living.reduce((sum, times) => sum + (times?.used ?? 0), used + ofEnded);
    }
  }
  throw new Error("processes of Postgres end all the time");
}

async function timesOf(pid: number) {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [parent, user, system, endedUser, endedSystem] = [1, 11, 12, 13, 14].map((i) => fields[i]!);
  return { parent: parent!, used: (user! + system!) / 100, ofEnded: (endedUser! + endedSystem!) / 100 };
}
