/**
 * The month of an organization whose calls are those of a trace: a tenth of them while all is free, then with prices, and
 * wallets that are filled by transfers, once and again; the month ends; and the last calls are reported only then.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode } from "@gatehouse/proto/authz";
import { type Statement, TransactionKind } from "@gatehouse/proto/metering";
import { timely } from "../system/caller.ts";
import type { System } from "../system/system.ts";
import { type HandCall, traceByHand } from "./by-hand.ts";
import { readReplayConfig } from "./config.ts";
import { costOf, type PricedTrace, total } from "./priced-traces.ts";
import { silent } from "./progress.ts";
import { type ReplayResult, replay } from "./replay.ts";

export const DEPARTMENTS = 12;
/** Of the calls, the last: as many as one report has room for. */
const LATE_CALLS = 300;
/** What a department may use of all that there is to use. */
const QUOTA_PERCENT = 12n;
const SPARE = 1000n;

/** Every fourth department gets an eighth of what its priced calls cost, and later half as much again. */
export function isShort(place: number): boolean {
  return place % 4 === 0;
}

/** This one draws on the organization's wallet; all others get what their calls cost. */
export const SHARING = 1;

export interface Department {
  readonly slug: string;
  readonly id: string;
}

export interface MonthOptions {
  readonly system: System;
  readonly trace: PricedTrace;
  /** For what is sent, and the master key. */
  readonly directory: string;
  /** Of the month that quotas are for. */
  readonly timeZone: string;
}

export class PricedMonth {
  readonly trace: PricedTrace;
  readonly calls: readonly HandCall[];
  /** While all was free, with prices, and with prices after departments were paid again: as they were sent. */
  readonly sent: readonly (readonly HandCall[])[];
  readonly late: readonly HandCall[];
  /** Of each part that was sent. */
  readonly results: ReplayResult[] = [];
  /** What each department got in all, by account. */
  readonly filled = new Map<string, bigint>();
  /** What the organization was paid. */
  paid = 0n;
  readonly #options: MonthOptions;
  readonly #header: readonly string[];
  #sentMs = 0;

  static async read(options: MonthOptions): Promise<PricedMonth> {
    return new PricedMonth(options, await options.trace.text());
  }

  private constructor(options: MonthOptions, text: string) {
    const { header, calls } = traceByHand(text, DEPARTMENTS);
    const [tenth, half] = [Math.floor(calls.length / 10), Math.floor(calls.length / 2)];
    this.#options = options;
    this.#header = header;
    this.trace = options.trace;
    this.calls = calls;
    this.sent = [calls.slice(0, tenth), calls.slice(tenth, half), calls.slice(half, -LATE_CALLS)];
    this.late = calls.slice(-LATE_CALLS);
  }

  get organization(): string {
    return this.results[0]!.organization.id;
  }

  /** Largest first. */
  get departments(): readonly Department[] {
    const { ids } = this.results[0]!.accounts;
    return Array.from({ length: DEPARTMENTS }, (_, i) => `department-${i + 1}`).map((slug) => {
      const id = ids.get(slug);
      if (id === undefined) throw new Error(`${slug} has no call`);
      return { slug, id };
    });
  }

  /** A part of the calls, under the quota of each department. */
  async send(part: number): Promise<void> {
    const { directory, system } = this.#options;
    const { organization: name, args, resource } = this.trace;
    const { root, identity, metering, replicas } = system;
    const file = join(directory, `${name}-${part}`);
    await writeFile(file, [...this.#header, ...this.sent[part]!.map(({ line }) => line)].join("\n"));
    const where = [
      ...["--identity", `http://${identity.grpcAddress}`, "--metering", `http://${metering.grpcAddress}`],
      ...["--authz", `http://${replicas[0]!.process.grpcAddress}`, "--organization", name],
      ...["--state", join(directory, `${name}.json`), "--limits", await this.#writeLimits()],
    ];
    const how = [...args, "--resource", resource, "--by", `zipf:${DEPARTMENTS}`];
    const config = readReplayConfig([file, ...where, ...how], { GATEHOUSE_ROOT_KEY: root.secret })!;
    this.results.push(await replay(config, silent));
    this.#sentMs = Date.now();
  }

  /** The organization's quota has room for all, and a department's for less than the largest want. */
  async #writeLimits(): Promise<string> {
    const { directory, timeZone } = this.#options;
    const { organization, meters, bounded: meter } = this.trace;
    const whole = total(this.calls, meters.indexOf(meter));
    const limitOf = (account: string, units: bigint) => {
      return { account, meter, quota: { units: Number(units), window: "month", timeZone } };
    };
    const limits = [limitOf("org", whole), limitOf("*", (whole * QUOTA_PERCENT) / 100n)];
    const path = join(directory, `${organization}-limits.json`);
    await writeFile(path, JSON.stringify(limits));
    return path;
  }

  /** What is sent from now on has its price. */
  async price(): Promise<void> {
    const { prices, pattern: resource, currency } = this.trace;
    for (const [meter, price] of Object.entries(prices)) {
      await this.#options.system.root.credits.setPrice({ meter, resource, currency, ...price }, timely);
    }
  }

  /** The organization is paid for all of its calls, and hands on to each department what it is to have at first. */
  async fill(): Promise<void> {
    const { credits } = this.#options.system.root;
    const { organization: account, departments } = this;
    const needs = departments.map((department) => this.#need(department));
    this.paid = needs.reduce((sum, need) => sum + need, SPARE);
    const payment = { amount: this.paid, currency: this.trace.currency, idempotencyKey: `pay ${account}` };
    await credits.topUp({ account, ...payment }, timely);
    await credits.setBalanceSource({ account: departments[SHARING]!.id, usesParentBalance: true }, timely);
    await this.#hand((place) => (place === SHARING ? 0n : needs[place]! / (isShort(place) ? 8n : 1n)));
  }

  /** Those who got too little get some more. */
  async refill(): Promise<void> {
    const half = ({ id }: Department) => this.filled.get(id)! / 2n;
    await this.#hand((place, department) => (isShort(place) ? half(department) : 0n));
  }

  /** Moves money to departments, and sees to it that authz has heard of it, and of the prices that were set before. */
  async #hand(amountFor: (place: number, department: Department) => bigint): Promise<void> {
    const { root } = this.#options.system;
    const { currency } = this.trace;
    let freshness = "";
    for (const [place, department] of this.departments.entries()) {
      const amount = amountFor(place, department);
      if (amount === 0n) continue;
      const [from, to] = [this.organization, department.id];
      const idempotencyKey = `${this.results.length} ${to}`;
      const moved = await root.credits.transfer({ from, to, amount, currency, idempotencyKey }, timely);
      this.filled.set(to, (this.filled.get(to) ?? 0n) + amount);
      freshness = moved.freshness;
    }
    const { masterKey: key } = this.results[0]!.organization;
    const peek = { key, charges: [{ meter: "requests", units: 0n }], atLeastAsFresh: [freshness] };
    const { code } = await root.authz[0]!.verify(peek, timely);
    if (code !== DecisionCode.VALID) throw new Error(`a peek was answered ${DecisionCode[code]}`);
  }

  /** What the priced calls of a department cost, were none refused. */
  #need({ slug }: Department): bigint {
    const calls = this.sent.slice(1).flatMap((part) => part.filter((call) => call.slug === slug));
    return this.trace.meters.reduce((sum, meter, i) => sum + costOf(this.trace, meter, total(calls, i)), 0n);
  }

  /** Reports the last calls as of the moment when the others had been sent. Answers how many events were booked. */
  async reportLate(): Promise<{ readonly events: number; readonly booked: number }> {
    const { meters, resource, organization: name } = this.trace;
    const ids = new Map(this.departments.map(({ slug, id }) => [slug, id]));
    const time = timestampFromMs(this.#sentMs);
    const events = this.late.flatMap(({ slug, units }, line) => {
      const node = { case: "account", value: ids.get(slug)! } as const;
      const eventOf = (meter: string, i: number) => ({
        id: `${line} ${meter}`,
        node,
        meter,
        units: units[i]!,
        time,
        resource,
      });
      return meters.map(eventOf);
    });
    const { booked } = await this.#options.system.root.usage.reportUsage({ source: name, events }, timely);
    return { events: events.length, booked };
  }

  /** Of the organization, then of each department. */
  statements(month: { readonly period: string; readonly timeZone: string }): Promise<Statement[]> {
    const accounts = [this.organization, ...this.departments.map(({ id }) => id)];
    return Promise.all(accounts.map((account) => this.statement({ account, ...month })));
  }

  async statement(request: object): Promise<Statement> {
    return (await this.#options.system.root.usage.getStatement(request, timely)).statement!;
  }

  /** What calls cost all wallets together, entry by entry of the ledger. */
  async posted(): Promise<bigint> {
    const { credits } = this.#options.system.root;
    const asked = {
      account: this.organization,
      descendants: true,
      kinds: [TransactionKind.USAGE],
      pageSize: 500,
    };
    let sum = 0n;
    let pageToken = "";
    do {
      const { transactions, nextPageToken } = await credits.listTransactions({ ...asked, pageToken }, timely);
      for (const { amount } of transactions) sum -= amount;
      pageToken = nextPageToken;
    } while (pageToken !== "");
    return sum;
  }
}
