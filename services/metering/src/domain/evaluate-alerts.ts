import { type Window, windowAt } from "@gatehouse/buckets";
import type { Alert, AlertSubject } from "./alert.ts";
import { type Reading, shareOf, step, type WindowState } from "./alert-crossing.ts";

/**
 * An alert, and what moved that it watches: usage in a quarter of an hour, a quota in the window that begins `at` then,
 * or a balance, with what it became, in order. Where no time is said, what runs now is looked at. Times are texts as
 * Postgres has them, to the microsecond.
 */
export interface MovedAlert {
  readonly alert: Alert;
  readonly reach: AlertReach;
  readonly moved: readonly { readonly at: string | undefined; readonly balance: bigint | undefined }[];
}

/**
 * What is in the reach of the account whose key made the alert, as of now: the alert's account and those below it; that
 * account alone, where it is its own and has been isolated from those below; or nothing, where it is above and isolated.
 */
export type AlertReach = "BELOW" | "OWN" | "NONE";

/** A window of an alert, with what was read of it, in order. */
export interface ReadWindow {
  readonly alert: Alert;
  /** With the alert, what its state is found by; of a balance, which has no window, the beginning of time. */
  readonly start: string;
  readonly startMs: number;
  /** Infinity: it never ends. */
  readonly endMs: number;
  readonly readings: readonly Reading[];
}

/** A threshold that was passed. */
export interface Crossing {
  readonly window: ReadWindow;
  readonly reading: Reading;
}

/** What a look at alerts came to: what is to be told, and the states that changed. */
export interface Evaluated {
  readonly crossings: readonly Crossing[];
  readonly states: readonly { readonly window: ReadWindow; readonly state: WindowState }[];
}

/** What was used of a limit in one window. */
export interface QuotaUse extends Pick<ReadWindow, "alert" | "start" | "startMs" | "endMs"> {
  readonly spent: bigint;
  /** The limit's. */
  readonly units: bigint;
}

export type SummedSubject = Extract<AlertSubject, { window: unknown }>;

/** What an evaluation reads: nothing of it is older than what moved. */
export interface AlertReads {
  /** What is used of the limits that these alerts watch, in the windows that moved. */
  quotaUse(alerts: readonly MovedAlert[], nowMs: number): Promise<readonly QuotaUse[]>;
  /** Units, or micros. */
  sum(alert: Alert, subject: SummedSubject, window: Window): Promise<bigint>;
  /** The states of windows, in order. */
  states(windows: readonly ReadWindow[]): Promise<readonly (WindowState | undefined)[]>;
}

/**
 * Windows that ended longer ago are not told of: usage by minute is kept for as long, and who is told later can do
 * nothing about it.
 */
export const TOLD_AFTER_MS = 35 * 86_400_000;

/** Looks at alerts where something moved: nobody is told of what is no longer in the reach of who made the alert. */
export async function evaluateAlerts(
  reads: AlertReads,
  moved: readonly MovedAlert[],
  nowMs: number,
): Promise<Evaluated> {
  const alerts = moved.filter(({ reach }) => reach !== "NONE");
  const windows = [
    ...(await limitWindows(reads, alerts, nowMs)),
    ...(await summedWindows(reads, alerts, nowMs)),
    ...alerts.flatMap(balanceWindow),
  ].filter(({ alert, endMs }) => endMs > alert.createdAtMs && endMs >= nowMs - TOLD_AFTER_MS);
  const before = await reads.states(windows);
  const crossings: Crossing[] = [];
  const states: Evaluated["states"][number][] = [];
  for (const [i, window] of windows.entries()) {
    let state = before[i];
    for (const reading of window.readings) {
      const next = step(window.alert, state, reading);
      state = next.state;
      if (next.isTold) crossings.push({ window, reading });
    }
    if (state !== undefined && !same(state, before[i])) states.push({ window, state });
  }
  return { crossings, states };
}

async function limitWindows(
  reads: AlertReads,
  alerts: readonly MovedAlert[],
  nowMs: number,
): Promise<ReadWindow[]> {
  const used = await reads.quotaUse(
    alerts.filter(({ alert }) => alert.subject.kind === "LIMIT"),
    nowMs,
  );
  return used.flatMap(({ spent, units, ...window }) => {
    const { subject } = window.alert;
    if (subject.kind !== "LIMIT") return [];
    const { threshold: of } = subject;
    const threshold = "amount" in of ? BigInt(of.amount) : shareOf(units, of.shareMillionths);
    return [{ ...window, readings: [{ value: spent, threshold }] }];
  });
}

async function summedWindows(
  reads: AlertReads,
  alerts: readonly MovedAlert[],
  nowMs: number,
): Promise<ReadWindow[]> {
  const windows: ReadWindow[] = [];
  for (const { alert, reach, moved } of alerts) {
    const { subject } = alert;
    if (subject.kind !== "USAGE" && subject.kind !== "SPEND") continue;
    const times = new Set(moved.map(({ at }) => (at === undefined ? nowMs : Date.parse(at))));
    // Each window once, however much of it moved.
    const touched = new Map([...times].map((atMs) => windowAt(subject, atMs)).map((w) => [w.startMs, w]));
    for (const window of touched.values()) {
      const descendants = subject.descendants && reach === "BELOW";
      const value = await reads.sum(alert, { ...subject, descendants }, window);
      const start = new Date(window.startMs).toISOString().replace("Z", "000Z");
      windows.push({ alert, start, ...window, readings: [{ value, threshold: BigInt(subject.amount) }] });
    }
  }
  return windows;
}

function balanceWindow({ alert, moved }: MovedAlert): ReadWindow[] {
  const { subject } = alert;
  if (subject.kind !== "BALANCE") return [];
  const threshold = BigInt(subject.amount);
  const readings = moved.map(({ balance = 0n }) => ({ value: balance, threshold }));
  const endMs = Number.POSITIVE_INFINITY;
  return [{ alert, start: "1970-01-01T00:00:00.000000Z", startMs: 0, endMs, readings }];
}

function same(one: WindowState, other: WindowState | undefined): boolean {
  return one.isReached === other?.isReached && one.crossings === other.crossings;
}
