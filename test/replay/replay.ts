import { readFile } from "node:fs/promises";
import { gatehouse } from "@gatehouse/client";
import { type Assigner, assigner } from "./assign.ts";
import { type BucketFault, type Buckets, bucketFaults, readBuckets } from "./buckets.ts";
import { compare } from "./compare.ts";
import type { ReplayConfig } from "./config.ts";
import { parseLimits } from "./limits-file.ts";
import { openTrace, type Trace } from "./open-trace.ts";
import { type Organization, provideOrganization } from "./organization.ts";
import type { Progress } from "./progress.ts";
import { type ProvidedAccounts, provideAccounts, provideMeters } from "./provision.ts";
import { readUsage, type Usage, usageSince } from "./read-usage.ts";
import { type SentCall, send } from "./send.ts";
import { setLimits } from "./set-limits.ts";
import { settle } from "./settle.ts";
import { type Survey, survey } from "./survey.ts";
import { Tally } from "./tally.ts";
import { isMalformed, ReplayError } from "./trace.ts";

/** Everything that a run found, made and saw. */
export interface ReplayResult {
  readonly trace: Trace;
  readonly rule: string;
  /** `requests` first. */
  readonly meters: readonly string[];
  readonly survey: Survey;
  readonly organization: Organization;
  readonly accounts: ProvidedAccounts;
  readonly tally: Tally;
  readonly usage: Usage;
  /** Every bucket that binds an account of the run, where there are limits. */
  readonly buckets: Buckets;
  /** Buckets that gave more than they hold, or refused what they had. */
  readonly faults: readonly BucketFault[];
  /** What does not agree; empty where all does. */
  readonly differences: readonly string[];
  readonly tookMs: {
    readonly survey: number;
    readonly provision: number;
    readonly send: number;
    readonly settle: number;
  };
}

/** Usage is asked for this much around the run: the services' clocks may be others than ours. */
const CLOCKS_MS = 5 * 60_000;

/** Replays a trace through a running Gatehouse. Throws ReplayError for mistakes of the operator. */
export async function replay(config: ReplayConfig, progress: Progress): Promise<ReplayResult> {
  const watch = stopwatch();
  const columns = { time: config.timeColumn, meters: config.meterColumns };
  const trace = await openTrace(config.file, config.format, columns);
  const assign = assigner(config.by, trace.format.name);
  const wishes = [...(await limitsOf(config)), ...config.limits];
  const rootKey = await keyOf(config.rootKey, config.rootKeyPath, "the root key");
  const found = await survey(trace, assign);
  if (found.calls === 0) throw new ReplayError(`${config.file} has no line that is a call`);
  const surveyMs = watch();

  const as = (key: string) => gatehouse({ ...config, key, timeoutMs: TIMEOUT_MS });
  const root = as(rootKey);
  const opened = [root];
  try {
    const meters = ["requests", ...trace.format.meters];
    const meterTokens = await provideMeters(root, meters);
    const organization = await provideOrganization({
      root,
      as,
      name: config.organization,
      statePath: config.statePath,
      masterKey: await masterKeyOf(config),
      mintKey: config.mintKey,
    });
    const master = as(organization.masterKey);
    opened.push(master);
    progress.begin("subaccounts", found.callers.size);
    const accounts = await provideAccounts(master, found.callers.values(), () => progress.advance(1));
    const nodes = { organizationId: organization.id, accounts: accounts.ids };
    const limited = await setLimits(root, wishes, nodes);
    const bucketsBefore = await readBuckets(root, new Set([organization.id, ...limited.accountIds]));
    const beganMs = Date.now();
    const spanTo = (toMs: number) => ({ fromMs: beganMs - CLOCKS_MS, toMs: toMs + CLOCKS_MS });
    const before = await readUsage(root, organization.id, spanTo(beganMs));
    const provisionMs = watch();

    const tally = new Tally(meters.length);
    progress.begin("calls", found.calls);
    await send(callsOf(trace, assign, accounts.ids), {
      authz: root.authz,
      masterKey: organization.masterKey,
      meters,
      resource: config.resource,
      freshness: lastOfEach(meterTokens, organization.freshness, accounts.freshness, limited.freshness),
      batch: config.batch,
      inFlight: config.inFlight,
      speed: config.speed,
      tally,
      onAnswered: (calls) => progress.advance(calls),
    });
    const sendMs = watch();

    const endedMs = Date.now();
    const slugs = new Map([...accounts.ids].map(([slug, id]) => [id, slug]));
    const settled = await settle({
      read: async () => usageSince(before, await readUsage(root, organization.id, spanTo(endedMs))),
      compare: (usage) => compare({ meters, trace: found.units, tally, usage, slugs }),
      deadlineMs: config.settleMs,
    });
    const bound = new Set([organization.id, ...limited.accountIds]);
    for (const { accounts: ids } of tally.refusals.values()) for (const id of ids) bound.add(id);
    const buckets = await readBuckets(root, bound);
    return {
      trace,
      rule: assign.rule,
      meters,
      survey: found,
      organization,
      accounts,
      tally,
      usage: settled.usage,
      buckets,
      faults: bucketFaults(bucketsBefore, buckets, tally.refusals.values(), meters),
      differences: settled.differences,
      tookMs: { survey: surveyMs, provision: provisionMs, send: sendMs, settle: settled.waitedMs },
    };
  } finally {
    progress.end();
    for (const client of opened) client.close();
  }
}

/** Below the patience of an operator, above what a batch of 1000 on a cold replica takes. */
const TIMEOUT_MS = 20_000;

async function* callsOf(
  trace: Trace,
  { assign }: Assigner,
  ids: ReadonlyMap<string, string>,
): AsyncGenerator<SentCall> {
  for await (const { number: line, text, parsed } of trace.read()) {
    if (isMalformed(parsed)) continue;
    const accountId = ids.get(assign(parsed, text).slug);
    if (accountId === undefined) throw new ReplayError(`${trace.path} changed while it was read`);
    yield { line, timeMs: parsed.timeMs, accountId, units: [1n, ...parsed.units] };
  }
}

async function limitsOf({ limitsPath }: ReplayConfig) {
  return limitsPath === undefined ? [] : parseLimits(limitsPath, await readText(limitsPath, "the limits"));
}

async function masterKeyOf({ masterKey, masterKeyPath }: ReplayConfig): Promise<string | undefined> {
  return masterKeyPath === undefined ? masterKey : keyOf(masterKey, masterKeyPath, "the master key");
}

async function keyOf(key: string | undefined, path: string, what: string): Promise<string> {
  return (key ?? (await readText(path, what))).trim();
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new ReplayError(`${what} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** A later token of a source covers the earlier ones of that source. */
function lastOfEach(...lists: (readonly string[])[]): string[] {
  return lists.flatMap((list) => list.slice(-1));
}

/** Milliseconds since it was asked before. */
function stopwatch(): () => number {
  let lastMs = performance.now();
  return () => {
    const nowMs = performance.now();
    const tookMs = nowMs - lastMs;
    lastMs = nowMs;
    return tookMs;
  };
}
