import { createLog, Disposables, openBus } from "@gatehouse/service";
import type { System } from "../system/system.ts";

const SUBJECT = "gatehouse.identity.changes";
const EVERY_MS = 5;
/** Real bells and own ones, to be rung again. */
const MAX_HEARD = 100;

/** Anybody on the bus: rings rubbish, names what did not change, and rings what was rung again: twice, late, backwards. */
export async function forgeBells(
  system: System,
  entityIds: readonly string[],
): Promise<{ stop(): Promise<void> }> {
  const log = createLog({ name: "forger", level: "silent" });
  const opened = new Disposables(log);
  const bus = openBus({ urls: [`nats://127.0.0.1:${system.nats.port}`], name: "forger", log, opened });
  const heard: Uint8Array[] = [];
  bus.subscribe(SUBJECT, (payload) => {
    if (heard.length < MAX_HEARD) heard.push(payload);
  });
  const named = (ids: readonly unknown[], more = {}) =>
    Buffer.from(JSON.stringify({ entityIds: ids, ...more }));
  const forgeries = [
    () => Buffer.from(Array.from({ length: 300 }, () => Math.random() * 256)),
    () => Buffer.from("{"),
    () => Buffer.alloc(20_000, "x"),
    () => named(["__proto__", "", "key_nobody", 7, null]),
    () => named(entityIds, { revision: Number.MAX_SAFE_INTEGER, incarnation: "forged" }),
    () => named(entityIds.slice(0, 3), { revision: -1 }),
    () => heard.shift() ?? named([]),
    () => heard.pop() ?? named([]),
  ];
  let nth = 0;
  const timer = setInterval(() => bus.publish(SUBJECT, forgeries[nth++ % forgeries.length]!()), EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      await opened.close();
    },
  };
}
