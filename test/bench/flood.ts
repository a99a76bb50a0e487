/**
 * A flood of keys that are none, at full speed, while a legitimate caller asks by the clock: what the flood costs, what it
 * makes of the caller's latency, how many database queries and requests to identity it causes, and what it leaves in memory.
 *
 * forged: well formed, the tag made up. unknown: the tag is right, which takes the pepper, but nobody has such a key.
 * imported: junk that begins with a registered prefix, which nothing but identity can tell from a key.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { DecisionCode } from "@gatehouse/proto/authz";
import { AccountService } from "@gatehouse/proto/identity";
import { grpcClient } from "@gatehouse/service";
import pg from "pg";
import { type Deployment, deploy, residentMegabytes, rpcCounts } from "./deployment.ts";
import { type Latencies, latenciesIn } from "./latencies.ts";
import { load, measured, type Round } from "./rounds.ts";
import { KEYS, makeKeys, timely, writeRequests } from "./warm-keys.ts";

export type Flood = "forged" | "unknown" | "imported";

const FLOOD_KEYS = 200_000;
const FLOOD_IN_FLIGHT = 64;
const CALLER_PER_SECOND = 500;
const CALLER_IN_FLIGHT = 64;
const WARM_SECONDS = 6;
const SECONDS = 8;
const PREFIX = "legacy_";

export interface FloodReport {
  readonly bench: Flood;
  readonly settings: Record<string, string | number>;
  /** Warm keys at full speed, alone. */
  readonly warm: Round;
  /** The flood at full speed, alone. */
  readonly flood: Round;
  /** The flood's calls a second over the warm ones'. */
  readonly rate: number;
  /** The caller's microseconds, without the flood and with it. */
  readonly quiet: Latencies;
  readonly flooded: Latencies;
  /** During both floods. */
  readonly requestsToIdentity: number;
  readonly queries: number;
  readonly floodCalls: number;
  readonly megabytesBefore: number;
  readonly megabytesAfter: number;
  /** Answers to the caller by code, during the flood. */
  readonly codes: Readonly<Record<string, number>>;
}

export async function benchFlood(flood: Flood): Promise<FloodReport> {
  const deployment = await deploy();
  const sql = new pg.Client({ connectionString: deployment.databaseUrl });
  await sql.connect();
  try {
    const { requests } = await makeKeys(deployment);
    const { authz: address, authzProcess, rootKey: key } = deployment;
    if (flood === "imported") await registerPrefix(deployment);
    const junk = await writeRequests(
      join(deployment.directory, "flood"),
      floodKeys(flood, deployment.pepper),
    );
    const ask = (file: string, seconds: number) =>
      load({ address, file, inFlight: FLOOD_IN_FLIGHT, seconds, key });
    const caller = () =>
      load({
        address,
        file: requests,
        inFlight: CALLER_IN_FLIGHT,
        seconds: SECONDS,
        perSecond: CALLER_PER_SECOND,
        key,
      });
    await ask(requests, WARM_SECONDS);
    const warm = await measured(authzProcess, () => ask(requests, SECONDS));
    const quiet = await caller();
    const megabytesBefore = await residentMegabytes(authzProcess);
    const before = await asked(deployment, sql);
    const alone = await measured(authzProcess, () => ask(junk, SECONDS));
    const [flooding, flooded] = await Promise.all([ask(junk, SECONDS), caller()]);
    const after = await asked(deployment, sql);
    return {
      bench: flood,
      settings: {
        node: process.version,
        keys: KEYS,
        floodKeys: FLOOD_KEYS,
        floodInFlight: FLOOD_IN_FLIGHT,
        callerPerSecond: CALLER_PER_SECOND,
        seconds: SECONDS,
      },
      warm,
      flood: alone,
      rate: alone.callsPerSecond / warm.callsPerSecond,
      quiet: latenciesIn(quiet),
      flooded: latenciesIn(flooded),
      requestsToIdentity: after.requests - before.requests,
      queries: after.queries - before.queries,
      floodCalls: alone.calls + flooding.calls,
      megabytesBefore,
      megabytesAfter: await residentMegabytes(authzProcess),
      codes: Object.fromEntries(
        Object.entries(flooded.codes).map(([code, count]) => [DecisionCode[Number(code)] ?? code, count]),
      ),
    };
  } finally {
    await sql.end();
    await deployment.stop();
  }
}

/** Keys of which no two are alike, as a forger would send them. */
function floodKeys(flood: Flood, pepper: string): string[] {
  const [right, wrong] = [pepper, newPepper("1")].map(
    (text) => new KeyFormat({ peppers: [parsePepper(text)] }),
  );
  const format = flood === "forged" ? wrong! : right!;
  return Array.from({ length: FLOOD_KEYS }, () =>
    flood === "imported" ? PREFIX + randomBytes(24).toString("base64url") : format.mint("ACCOUNT").presented,
  );
}

/** What looking keys up caused: requests to identity, and statements on its tables of keys, whoever made them. */
async function asked({ identityHttp }: Deployment, sql: pg.Client) {
  const requests =
    (await rpcCounts(identityHttp, "ResolveKeys")) + (await rpcCounts(identityHttp, "ResolveHashes"));
  // Index and sequential scans of the table that every look-up of a key begins with.
  const { rows } = await sql.query(
    "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::int AS scans FROM pg_stat_user_tables WHERE schemaname = 'identity' AND relname = 'key'",
  );
  return { requests, queries: Number(rows[0].scans) };
}

async function registerPrefix({ identity, rootKey }: Deployment): Promise<void> {
  const accounts = grpcClient(AccountService, identity, { headers: { "x-api-key": rootKey } });
  await accounts.updateSettings({ importPrefixes: [PREFIX] }, timely);
  accounts.close();
}
