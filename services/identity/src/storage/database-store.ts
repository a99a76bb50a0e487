import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import { overloaded } from "@gatehouse/service/failure";
import type { DataSource, EntityManager } from "typeorm";
import type { AuditEvent } from "../domain/audit.ts";
import type { Change, Committed, Store } from "../domain/store.ts";
import { AccountReader } from "./account-reads.ts";
import { AccountWriter } from "./account-writes.ts";
import { auditRow, auditRows } from "./audit-row.ts";
import { DefinitionReader, DefinitionWriter } from "./definition-store.ts";
import { KeyReader } from "./key-reads.ts";
import { KeyWriter } from "./key-writes.ts";
import { ReplayStore } from "./replay-store.ts";

/**
 * Changes under way, those waiting for a connection included: at some 300 a second even the last of them gets
 * one before the pool's patience ends, and reads find one in between.
 */
const MAX_CHANGES = 500;

/** The store in Postgres. */
export class DatabaseStore implements Store {
  readonly accounts: AccountReader;
  readonly keys: KeyReader;
  readonly definitions: DefinitionReader;
  readonly #manager: EntityManager;
  readonly #changeLog: ChangeLog;
  #underWay = 0;

  constructor(dataSource: DataSource, changeLog: ChangeLog) {
    this.#manager = dataSource.manager;
    this.#changeLog = changeLog;
    this.accounts = new AccountReader(this.#manager);
    this.keys = new KeyReader(this.#manager);
    this.definitions = new DefinitionReader(this.#manager);
  }

  /** Throws Failure OVERLOADED too, and BUSY where a gate stays shut. */
  async change<T>(work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    if (this.#underWay >= MAX_CHANGES) throw overloaded("as many changes are waiting as may be");
    this.#underWay++;
    try {
      return await this.#changeLog.commit((tx) => work(changeIn(tx)));
    } finally {
      this.#underWay--;
    }
  }

  recordRefusal(event: AuditEvent): Promise<void> {
    return writeAudit(this.#manager, event);
  }
}

function changeIn(tx: Tx): Change {
  return {
    gate: (gates) => tx.gate(gates),
    accounts: new AccountWriter(tx),
    keys: new KeyWriter(tx),
    definitions: new DefinitionWriter(tx),
    replays: new ReplayStore(tx.manager),
    audit: (event) => writeAudit(tx.manager, event),
    raise: async () => {},
  };
}

async function writeAudit(manager: EntityManager, event: AuditEvent): Promise<void> {
  await manager.insert(auditRows, auditRow(event));
}
