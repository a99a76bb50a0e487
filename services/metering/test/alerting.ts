import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AccountNode } from "@gatehouse/access";
import { type Receiver, startReceiver } from "@gatehouse/events/test-receiver";
import type { Alert, CreateAlertRequestSchema, MinuteUsageSchema } from "@gatehouse/proto/metering";
import { createLog, localBus } from "@gatehouse/service";
import { startTestPostgres } from "@gatehouse/stack/test-postgres";
import { expect, vi } from "vitest";
import type { MeteringConfig } from "../src/config.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

export const timely = { timeoutMs: 10_000 };
export const patiently = { timeout: 15_000, interval: 20 };

/** What an alert told, as its webhook is sent it. */
export interface Told {
  readonly id: string;
  readonly type: string;
  readonly account_id: string;
  readonly organization_id: string;
  readonly subject: string;
  readonly data: Record<string, unknown>;
}

type Usage = MessageInitShape<typeof MinuteUsageSchema>;

/** An organization with a child and a key, and what it takes to move something of theirs. */
export interface Stage {
  readonly account: AccountNode;
  readonly child: AccountNode;
  readonly master: TestKey;
  /** With a webhook that is the receiver, unless the request says otherwise. */
  create(request: MessageInitShape<typeof CreateAlertRequestSchema>): Promise<Alert>;
  /** Books usage of the organization, through one replica after the other. */
  book(...rows: Usage[]): Promise<void>;
}

/** Replicas of metering over one database, a bus that all are on, and a receiver of webhooks. */
export async function startAlerting(replicaCount: number, config: Partial<MeteringConfig> = {}) {
  const postgres = await startTestPostgres();
  const identity = new IdentityLog();
  identity.meter("tokens");
  const root = identity.key(identity.root);
  const bus = localBus({ log: createLog({ name: "test", level: "silent" }) });
  const published: { subject: string; body: Told }[] = [];
  bus.subscribe("gatehouse.event.>", (payload, subject) => {
    published.push({ subject, body: JSON.parse(Buffer.from(payload).toString()) });
  });
  const receiver: Receiver = await startReceiver();
  const replicas: TestMetering[] = [];
  for (let i = 0; i < replicaCount; i++)
    replicas.push(await startMetering(postgres.url, identity, { bus }, config));
  const [metering] = replicas as [TestMetering];
  let made = 0;

  async function organization(): Promise<Stage> {
    const account = identity.account(identity.root, `org-${++made}`);
    const child = identity.account(account, `child-${made}`);
    const master = identity.key(account);
    for (const { follower } of replicas) await follower.prove();
    const holders = replicas.map((replica, i) => new Holder(replica, `booker-${made}-${i}`));
    let turn = 0;
    return {
      account,
      child,
      master,
      async create(request) {
        const answer = await metering
          .alerts(master)
          .createAlert({ webhookUrl: receiver.url, ...request }, timely);
        return answer.alert!;
      },
      async book(...rows) {
        const usage = rows.map((row) => ({
          meter: "requests",
          outcome: "VALID",
          accountId: account.id,
          ...row,
        }));
        await holders[turn++ % holders.length]!.ship(undefined, usage);
      },
    };
  }

  /** Waits until everything that moved so far was looked at. */
  async function evaluated(): Promise<void> {
    await vi.waitFor(async () => {
      const due = await metering.query("SELECT FROM alert_due WHERE not_before <= clock_timestamp()", []);
      expect(due).toHaveLength(0);
    }, patiently);
  }

  return {
    postgres,
    identity,
    root,
    replicas,
    metering,
    receiver,
    published,
    organization,
    evaluated,
    /** What an alert told, of what moved so far: what is written down, sent or not. */
    async toldBy(alert: Alert): Promise<Told[]> {
      await evaluated();
      const rows = await metering.query<{ body: string }>(
        "SELECT d.body FROM delivery d JOIN webhook w ON w.id = d.webhook_id WHERE w.name = $1 ORDER BY d.event_id",
        [alert.id],
      );
      return rows.map(({ body }) => JSON.parse(body));
    },
    /** Moves the time of all replicas; undefined for now. */
    moveTo(at: string | undefined) {
      for (const { time } of replicas) time.offsetMs = at === undefined ? 0 : Date.parse(at) - Date.now();
    },
    async stop() {
      for (const replica of replicas) await replica.stop();
      receiver.stop();
      await bus.close();
      await postgres.stop();
    },
  };
}

export type Alerting = Awaited<ReturnType<typeof startAlerting>>;
