import { type Disposables, type Log, runLoop } from "@gatehouse/service";
import { Activity } from "../domain/activity.ts";
import type { GrpcIdentitySource } from "../upstream/identity-source.ts";

const EVERY_MS = 1000;
const BACKOFF = { minMs: 1000, maxMs: 30_000 };

/** Tells identity which keys are used, and at the end once more: what it does not take then is lost. */
export function reportActivity(
  identity: Pick<GrpcIdentitySource, "recordActivity">,
  log: Log,
  opened: Disposables,
): Activity {
  const activity = new Activity((uses) => identity.recordActivity(uses));
  const run = () => activity.flush();
  const reporting = runLoop({ name: "report activity", everyMs: EVERY_MS, backoff: BACKOFF, run, log });
  opened.add("activity", async () => {
    await reporting.stop();
    await activity.flush().catch(() => undefined);
  });
  return activity;
}
