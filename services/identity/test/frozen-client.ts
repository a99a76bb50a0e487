import { ChangeLog, openDatabase } from "@gatehouse/changefeed";

/** Updates a key, says so, and waits to be frozen before it commits: a process of its own for the tests of races. */
const { IDENTITY_URL = "", IDENTITY_KEY = "" } = process.env;
const dataSource = await openDatabase({
  url: IDENTITY_URL,
  schema: "identity",
  entities: [],
  migrations: [],
});
const log = new ChangeLog({ dataSource, source: "identity" });
await log.commit(async (tx) => {
  await tx.gate({ reliedOn: [IDENTITY_KEY] });
  await tx.manager.query("UPDATE key SET updated_at = now() WHERE id = $1", [IDENTITY_KEY]);
  tx.changed("key", IDENTITY_KEY);
  await tx.writeChanges();
  console.log("written");
  await Promise.withResolvers().promise;
});
