import { type Gatehouse, gatehouse } from "@gatehouse/client";
import { DecisionCode } from "@gatehouse/proto/authz";
import { createLog, natsBus } from "@gatehouse/service";
import { afterAll, beforeAll } from "vitest";
import type { System } from "../system/system.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** Gatehouse as an API provider's own code sees it: through the SDK, with whatever key is at hand. */
export interface Provider {
  /** What a holder of the key can call. */
  as(key: string): Gatehouse;
  /** With the root key. */
  root(): Gatehouse;
  /** What is decided about a call, from state at least as fresh as the tokens say. */
  decide(
    call: Parameters<Gatehouse["authz"]["verify"]>[0],
    ...freshness: string[]
  ): Promise<keyof typeof DecisionCode>;
  /** What NATS tells of: the first event of a type about something, once it comes. */
  told(type: string, subject: string): Promise<{ readonly organization_id: string; readonly data: object }>;
}

/** A deployment for the walkthroughs of a file. */
export function useProvider(): Provider {
  const system = useSystem({ replicas: [{}] });
  const opened = new Map<string, Gatehouse>();
  const events: { type: string; subject: string; organization_id: string; data: object }[] = [];
  let bus: ReturnType<typeof natsBus> | undefined;
  beforeAll(async () => {
    const log = createLog({ name: "backend", level: "error" });
    bus = natsBus({ urls: [`nats://127.0.0.1:${system().nats.port}`], name: "backend", log });
    bus.subscribe(
      "gatehouse.event.>",
      (payload) => void events.push(JSON.parse(Buffer.from(payload).toString())),
    );
    await until("the bus is connected", () => bus!.connected);
  });
  afterAll(async () => {
    for (const client of opened.values()) client.close();
    await bus?.close();
  });
  function as(key: string): Gatehouse {
    const client = opened.get(key) ?? clientOf(system(), key);
    opened.set(key, client);
    return client;
  }
  const root = () => as(system().root.secret);
  return {
    as,
    root,
    async decide(call, ...atLeastAsFresh) {
      const { code } = await root().authz.verify({ ...call, atLeastAsFresh });
      return DecisionCode[code] as keyof typeof DecisionCode;
    },
    told: (type, subject) =>
      until(`${type} of ${subject}`, () =>
        events.find((event) => event.type === type && event.subject === subject),
      ),
  };
}

function clientOf({ identity, metering, replicas }: System, key: string): Gatehouse {
  return gatehouse({
    key,
    timeoutMs: 20_000,
    identity: `http://${identity.grpcAddress}`,
    authz: `http://${replicas[0]!.process.grpcAddress}`,
    metering: `http://${metering.grpcAddress}`,
  });
}
