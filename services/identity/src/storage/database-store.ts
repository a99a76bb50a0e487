import type { AuditEvent } from "@gatehouse/access";
import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import { AuditReader, type OutgoingEvent } from "@gatehouse/events";
import { overloaded } from "@gatehouse/service/failure";
import type { DataSource, EntityManager } from "typeorm";
import type { DomainEvent } from "../domain/events/event.ts";
import { eventsOfChange } from "../domain/events/event-of-change.ts";
import type { Change, Committed, Store } from "../domain/store.ts";
import { AccountReader } from "./account-reads.ts";
import { AccountWriter } from "./account-writes.ts";
import { DatabaseWatches } from "./activity-watches.ts";
import { auditRow, auditRows } from "./audit-row.ts";
import { DefinitionReader, DefinitionWriter } from "./definition-store.ts";
import { putOut } from "./event-outbox.ts";
import { ImportedReader, ImportedWriter } from "./imported-keys.ts";
import { InvitationReader, InvitationWriter } from "./invitation-store.ts";
import { KeyReader } from "./key-reads.ts";
import { KeyWriter } from "./key-writes.ts";
import { MemberReader, MemberWriter } from "./member-store.ts";
import { ReplayStore } from "./replay-store.ts";
import { WebhookReader, WebhookWriter } from "./webhook-store.ts";

/**
 * Changes under way, those waiting for a connection included: at some 300 a second even the last of them gets
 * one before the pool's patience ends, and reads find one in between.
 */
const MAX_CHANGES = 500;

/** The store in Postgres. */
export class DatabaseStore implements Store {
  readonly accounts: AccountReader;
  readonly keys: KeyReader;
  readonly imported: ImportedReader;
  readonly definitions: DefinitionReader;
  readonly members: MemberReader;
  readonly invitations: InvitationReader;
  readonly webhooks: WebhookReader;
  readonly auditEvents: AuditReader;
  readonly #manager: EntityManager;
  readonly #tell: (events: readonly OutgoingEvent[]) => void;
  readonly #changeLog: ChangeLog;
  #underWay = 0;

  /** `tell` is called after each commit with the events that went out with it. Must not throw: the commit stands. */
  constructor(
    dataSource: DataSource,
    changeLog: ChangeLog,
    tell: (events: readonly OutgoingEvent[]) => void = () => {},
  ) {
    this.#tell = tell;
    this.#manager = dataSource.manager;
    this.#changeLog = changeLog;
    this.accounts = new AccountReader(this.#manager);
    this.keys = new KeyReader(this.#manager);
    this.imported = new ImportedReader(this.#manager);
    this.definitions = new DefinitionReader(this.#manager);
    this.members = new MemberReader(this.#manager);
    this.webhooks = new WebhookReader(this.#manager);
    this.auditEvents = new AuditReader(this.#manager);
    this.invitations = new InvitationReader(this.#manager);
  }

  /** Throws Failure OVERLOADED too, and BUSY where a gate stays shut. */
  async change<T>(work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    if (this.#underWay >= MAX_CHANGES) throw overloaded("as many changes are waiting as may be");
    this.#underWay++;
    try {
      let raised: OutgoingEvent[] = [];
      const committed = await this.#changeLog.commit((tx) => {
        raised = [];
        return work(changeIn(tx, raised));
      });
      if (raised.length > 0) this.#tell(raised);
      return committed;
    } finally {
      this.#underWay--;
    }
  }

  recordRefusal(event: AuditEvent): Promise<void> {
    return writeAudit(this.#manager, event);
  }
}

function changeIn(tx: Tx, raised: OutgoingEvent[]): Change {
  const raise = async (events: readonly DomainEvent[]) => {
    raised.push(...(await putOut(tx.manager, events)));
  };
  return {
    gate: (gates) => tx.gate(gates),
    accounts: new AccountWriter(tx),
    keys: new KeyWriter(tx),
    imported: new ImportedWriter(tx),
    watches: new DatabaseWatches(tx.manager),
    definitions: new DefinitionWriter(tx),
    members: new MemberWriter(tx),
    invitations: new InvitationWriter(tx.manager),
    replays: new ReplayStore(tx.manager),
    webhooks: new WebhookWriter(tx.manager),
    async audit(event) {
      await writeAudit(tx.manager, event);
      await raise(eventsOfChange(event));
    },
    raise: (event) => raise([event]),
  };
}

async function writeAudit(manager: EntityManager, event: AuditEvent): Promise<void> {
  await manager.insert(auditRows, auditRow(event));
}
