import { open } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";

/** Statements that turn up while nobody calls: the services' own loops. */
const IDLE_MS = 3000;
/** A statement of a call is in each of so many runs of it; what a loop did meanwhile is nearly never. */
const RUNS = 3;
/** What a loop did in each of those runs is not in all of so many. */
const MOST_RUNS = 12;

type Call = () => Promise<unknown>;

/** What a database was asked, as its own log says. */
export class StatementLog implements AsyncDisposable {
  readonly #sql: pg.Client;
  readonly #path: string;
  #idle: ReadonlySet<string> = new Set();

  private constructor(sql: pg.Client, path: string) {
    this.#sql = sql;
    this.#path = path;
  }

  /** Makes a database of a test log every statement. */
  static async open(databaseUrl: string): Promise<StatementLog> {
    const sql = new pg.Client({ connectionString: databaseUrl });
    await sql.connect();
    await sql.query("ALTER SYSTEM SET log_statement = 'all'");
    await sql.query("ALTER SYSTEM SET log_parameter_max_length = 0");
    await sql.query("SELECT pg_reload_conf()");
    const { rows } = await sql.query<{ directory: string }>(
      "SELECT current_setting('data_directory') AS directory",
    );
    const log = new StatementLog(sql, join(rows[0]!.directory, "server.log"));
    log.#idle = new Set(await log.#during(() => new Promise((resolve) => setTimeout(resolve, IDLE_MS))));
    return log;
  }

  /**
   * The statements that each run of two calls makes, in no order. The calls take turns, for longer where they differ:
   * a difference that is theirs is there in every run, one that a loop made goes.
   */
  async ofBoth(left: Call, right: Call): Promise<[string[], string[]]> {
    let common: [string[], string[]] = [await this.#during(left), await this.#during(right)];
    for (let run = 1; run < RUNS || (run < MOST_RUNS && !same(common)); run++) {
      common = [inBoth(common[0], await this.#during(left)), inBoth(common[1], await this.#during(right))];
    }
    return common;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.end();
  }

  async #during(act: Call): Promise<string[]> {
    await using file = await open(this.#path);
    const { size } = await file.stat();
    await act();
    const after = (await file.stat()).size;
    const { buffer } = await file.read(Buffer.alloc(after - size), 0, after - size, size);
    return statementsIn(buffer.toString())
      .filter((statement) => !this.#idle.has(statement))
      .sort();
  }
}

// `2026-11-22 00:00:00.000 UTC [42] LOG:  execute <unnamed>: SELECT …`, and further lines behind a tab.
function statementsIn(log: string): string[] {
  return log
    .split(/\n(?!\t)/)
    .flatMap((entry) => /LOG: {2}(?:execute [^:]*|statement): ([\s\S]*)/.exec(entry)?.[1] ?? [])
    .map((statement) => statement.replace(/\s+/g, " ").trim());
}

function same([left, right]: readonly [readonly string[], readonly string[]]): boolean {
  return left.join("\n") === right.join("\n");
}

function inBoth(left: readonly string[], right: readonly string[]): string[] {
  const rest = [...right];
  return left.filter((each) => {
    const at = rest.indexOf(each);
    if (at >= 0) rest.splice(at, 1);
    return at >= 0;
  });
}
