import { openLedger, touch } from "./ledger.ts";

/** Writes, says so, and waits to be frozen: a process of its own for the tests of gates. */
const { LEDGER_URL = "", LEDGER_SCHEMA = "", LEDGER_NODE = "", LEDGER_EAGER = "" } = process.env;
const ledger = await openLedger(LEDGER_URL, LEDGER_SCHEMA);
await ledger.log.commit(async (tx) => {
  await tx.gate({ reliedOn: [LEDGER_NODE] });
  await touch(tx, LEDGER_NODE);
  await tx.writeChanges();
  if (LEDGER_EAGER !== "") await tx.manager.query("SET CONSTRAINTS ALL IMMEDIATE");
  console.log("written");
  await Promise.withResolvers().promise;
});
