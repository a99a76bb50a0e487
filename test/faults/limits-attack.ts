import { setTimeout as pause } from "node:timers/promises";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Window } from "@gatehouse/proto/metering";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import type { System } from "../system/system.ts";
import { until } from "../system/until.ts";
import { ask } from "../system/verifying.ts";
import {
  admittedUnits,
  admittedWithin,
  type Charged,
  type Held,
  overspent,
  worstExcess,
} from "./limits-model.ts";

/** What limits hold. Two subaccounts have a window, the key of the third a quota of its own, all share the organization's. */
export const HOLDS = { organization: 30_000, window: 4000, key: 25_000 };
export const RATE = { units: 5, intervalMs: 1000, burst: 40 };
/** To be made before the first attack. */
export const RATE_METER = "tokens";
const MINUTE_MS = 60_000;
const CALLERS = 48;
const RATE_CALLERS = 16;
const PACE_MS = 250;
const RETRY_MS = 50;
/** Longer than a replica stands still. */
const TIMEOUT_MS = 40_000;
const SLOW_UNITS = 5;
const FAST_UNITS = 50;
const RATE_UNITS_MAX = 5;
/** Whoever has not asked before is lent ten times what it needs, within that half. */
const TOUCHED_UNITS = 3;

/** What calls are made: none, some a second, or all that are let, by subaccount. */
type Demand = "none" | "paced" | "greedy";

/** Callers of one organization with limits at three levels, spread over replicas, and all that they were answered. */
export class LimitAttack {
  readonly calls: Charged[] = [];
  readonly rateCalls: Charged[] = [];
  readonly made: Organization;
  readonly #system: System;
  readonly #held: Held[] = [];
  readonly #windowEndMs: number;
  #replicas: readonly number[];
  #isStopping = false;
  #running: Promise<unknown> | undefined;
  #demand: readonly Demand[] = ["paced", "paced", "paced"];
  #rateDemand: Demand = "none";
  /** By subaccount, the callers that were told that there is no more, since they became greedy. */
  #refused = new Set<number>();

  /** `windowEndMs` on the monotonic clock. */
  static async begin(
    system: System,
    name: string,
    replicas: readonly number[],
    windowEndMs: number,
  ): Promise<LimitAttack> {
    const made = await makeOrganization(system, name, ["one", "two", "three"]);
    const attack = new LimitAttack(system, made, replicas, windowEndMs);
    await attack.#setLimits();
    return attack;
  }

  private constructor(system: System, made: Organization, replicas: readonly number[], windowEndMs: number) {
    this.#system = system;
    this.made = made;
    this.#replicas = replicas;
    this.#windowEndMs = windowEndMs;
  }

  start(): void {
    const callers = Array.from({ length: CALLERS }, (_, i) => this.#call(i));
    const ofRates = Array.from({ length: RATE_CALLERS }, (_, i) => this.#callRate(i));
    this.#running = Promise.all([...callers, ...ofRates]);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async holdOrganization(units: number): Promise<void> {
    // What is raised may be spent before it is answered.
    const raised = units > (this.#held.at(-1)?.units ?? 0);
    if (raised) this.#held.push({ fromMs: performance.now(), units });
    await this.#setQuota({ case: "account", value: this.made.id }, units, Window.NEVER);
    if (!raised) this.#held.push({ fromMs: performance.now(), units });
  }

  /** What the callers of each subaccount want from now on, and of which replicas. */
  demand(demand: readonly Demand[], replicas = this.#replicas): void {
    this.#demand = demand;
    this.#replicas = replicas;
    this.#refused.clear();
  }

  demandRate(demand: Demand): void {
    this.#rateDemand = demand;
  }

  /** Have all greedy callers been told that there is no more, even of one unit? */
  get isExhausted(): boolean {
    const greedy = Array.from({ length: CALLERS }, (_, i) => i).filter(
      (i) => this.#demand[i % 3] === "greedy",
    );
    return greedy.every((i) => this.#refused.has(i));
  }

  /** Those that were refused ask again: a replica may remember for two seconds that there was no more. */
  askAgain(): void {
    this.#refused.clear();
  }

  get admitted(): number {
    return admittedUnits(this.calls);
  }

  /** A call of the rate by the last replica: it is then lent as much as one may have in hand, half of the burst. */
  async touchRate(): Promise<void> {
    await this.#ask(0, this.#replicas.at(-1)!, RATE_METER, TOUCHED_UNITS);
  }

  /** What was admitted that no bucket had. */
  violations(): string[] {
    const found: string[] = [];
    const beyond = overspent(this.calls, this.#held);
    if (beyond !== undefined) found.push(`organization: ${this.admitted} admitted, beyond what it held`);
    for (const i of [0, 1]) {
      const own = this.#callsOf(i);
      for (const startMs of [this.#windowEndMs - MINUTE_MS, this.#windowEndMs]) {
        const units = admittedWithin(own, startMs, startMs + MINUTE_MS);
        if (units > HOLDS.window) found.push(`window: ${units} of ${HOLDS.window} admitted`);
      }
    }
    const ofKey = admittedUnits(this.#callsOf(2));
    if (ofKey > HOLDS.key) found.push(`key: ${ofKey} of ${HOLDS.key} admitted`);
    const excess = worstExcess(this.rateCalls, RATE);
    if (excess > 0) found.push(`rate: ${excess} more than burst + rate × T`);
    return found;
  }

  #callsOf(subaccount: number): Charged[] {
    const { secret } = this.made.subaccounts[subaccount]!.key;
    return this.calls.filter(({ key }) => key === secret);
  }

  async #call(caller: number): Promise<void> {
    let most = FAST_UNITS;
    while (!this.#isStopping) {
      const demand = this.#demand[caller % 3]!;
      if (demand === "none" || this.#refused.has(caller)) {
        most = FAST_UNITS;
        await pause(RETRY_MS);
        continue;
      }
      if (demand === "paced") await pause(PACE_MS * (0.5 + Math.random()));
      const units = 1 + Math.floor(Math.random() * (demand === "paced" ? SLOW_UNITS : most));
      const replica = this.#replicas[Math.floor(caller / 3) % this.#replicas.length]!;
      const answer = await this.#ask(caller % 3, replica, "requests", units);
      if (answer.code === "QUOTA_EXCEEDED" && demand === "greedy") {
        // Of what is left the last units go one by one.
        if (units === 1) this.#refused.add(caller);
        most = 1;
      } else if (answer.code !== "VALID") {
        await pause(answer.retryAfterMs ?? RETRY_MS);
      }
    }
  }

  async #callRate(caller: number): Promise<void> {
    while (!this.#isStopping) {
      if (this.#rateDemand === "none") {
        await pause(RETRY_MS);
        continue;
      }
      const replica = this.#replicas[caller % this.#replicas.length]!;
      const units = 1 + Math.floor(Math.random() * RATE_UNITS_MAX);
      const { code } = await this.#ask(2, replica, RATE_METER, units);
      if (code !== "VALID") await pause(RETRY_MS);
    }
  }

  async #ask(subaccount: number, replica: number, meter: string, units: number): Promise<Charged> {
    const charges = [{ meter, units: BigInt(units) }];
    if (meter !== "requests") charges.push({ meter: "requests", units: 0n });
    const { secret } = this.made.subaccounts[subaccount]!.key;
    const answer = await ask(this.#system.root, replica, { key: secret, charges }, TIMEOUT_MS);
    const call = { ...answer, meter, units };
    (meter === "requests" ? this.calls : this.rateCalls).push(call);
    return call;
  }

  async #setLimits(): Promise<void> {
    const [one, two, three] = this.made.subaccounts;
    await this.holdOrganization(HOLDS.organization);
    const anchor = timestampFromMs(Math.round(Date.now() + this.#windowEndMs - performance.now()));
    for (const { id } of [one!, two!]) {
      await this.#setQuota({ case: "account", value: id }, HOLDS.window, Window.MINUTE, anchor);
    }
    await this.#setQuota({ case: "key", value: three!.key.id }, HOLDS.key, Window.NEVER);
    const value = {
      units: BigInt(RATE.units),
      interval: durationFromMs(RATE.intervalMs),
      burst: BigInt(RATE.burst),
    };
    await this.#system.root.limits.setLimit(
      {
        node: { case: "account", value: this.made.id },
        meter: RATE_METER,
        allowance: { case: "rate", value },
      },
      timely,
    );
  }

  async #setQuota(
    node: { case: "account" | "key"; value: string },
    units: number,
    window: Window,
    anchor?: ReturnType<typeof timestampFromMs>,
  ): Promise<void> {
    const value = { units: BigInt(units), window, ...(anchor && { anchor }) };
    const request = { node, allowance: { case: "quota", value } } as const;
    // Metering may have been started again a moment ago.
    await until("the limit is set", () => this.#system.root.limits.setLimit(request, timely));
  }
}
