import { hash } from "node:crypto";
import { freshAccount, freshKey, type Requests } from "./request.ts";
import type { CallerName, World } from "./world.ts";

const FEED = "identity.v1.FeedService";
const AUTHZ = "authz.v1.AuthzService";
const LIMITS = "metering.v1.LimitService";
const USAGE = "metering.v1.UsageService";
const QUOTA = { quota: { units: "1000", window: "WINDOW_MONTH" } };
const SOON_MS = 60_000;

/** authz, metering, and what services ask of each other. */
export const otherRequests: Requests = {
  [`${AUTHZ}/Verify`]: async (world) => ({ key: (await freshKey(world)).secret }),
  [`${AUTHZ}/Explain`]: async (world) => ({ key: (await freshKey(world)).secret }),
  [`${AUTHZ}/Heartbeat`]: async (world) => ({ key: (await freshKey(world)).secret }),
  [`${AUTHZ}/BatchVerify`]: async (world) => ({ requests: [{ key: (await freshKey(world)).secret }] }),
  "envoy.service.auth.v3.Authorization/Check": async (world) => ({
    attributes: {
      request: { http: { headers: { "x-api-key": (await freshKey(world)).secret } } },
      context_extensions: { resource: "weather.read" },
    },
  }),

  [`${LIMITS}/SetLimit`]: ({ subaccount }) => ({ account: subaccount, ...QUOTA }),
  [`${LIMITS}/SetLimit:key`]: async (world) => ({ key: (await freshKey(world)).id, ...QUOTA }),
  [`${LIMITS}/SetLimit:own-key`]: ({ accountKey }) => ({ key: accountKey, ...QUOTA }),
  [`${LIMITS}/DeleteLimit`]: async ({ made, subaccount }) => ({
    limit: (await made(`${LIMITS}/SetLimit`, { account: subaccount, ...QUOTA })).limit.id,
  }),
  [`${LIMITS}/ResetLimit`]: async ({ made, subaccount }) => ({
    limit: (await made(`${LIMITS}/SetLimit`, { account: subaccount, ...QUOTA })).limit.id,
  }),
  [`${LIMITS}/ListLimits`]: ({ subaccount }) => ({ account: subaccount }),
  "metering.v1.AuditService/ListEvents": ({ subaccount }) => ({ account: subaccount }),
  "metering.v1.AuditService/ExportEvents": ({ subaccount }) => ({ account: subaccount }),
  [`${LIMITS}/GetAllowance`]: ({ subaccount }) => ({ account: subaccount }),
  [`${USAGE}/ExportUsage`]: ({ subaccount }) => ({ account: subaccount, descendants: true }),
  [`${USAGE}/ReportUsage`]: ({ subaccount, fresh }) => ({
    source: "backend",
    events: [
      { id: fresh(), account: subaccount, meter: "requests", units: "1", time: new Date().toISOString() },
    ],
  }),
  [`${USAGE}/CommitReservation`]: async (world, caller) => ({
    decision_id: await reservedBy(world, caller),
    charges: [{ meter: "requests", units: "2" }],
  }),
  [`${USAGE}/ReleaseReservation`]: async (world, caller) => ({
    decision_id: await reservedBy(world, caller),
  }),
  [`${USAGE}/QueryUsage`]: ({ subaccount }) => ({ account: subaccount, descendants: true }),

  [`${FEED}/GetHead`]: () => ({}),
  [`${FEED}/ListChanges`]: async ({ call }) => ({ after: await headOf(call("svc", `${FEED}/GetHead`, {})) }),
  [`${FEED}/Snapshot`]: () => ({}),
  [`${FEED}/ResolveKeys`]: ({ accountKey }) => ({ key_ids: [accountKey] }),
  [`${FEED}/ResolveAccounts`]: ({ subaccount }) => ({ names: [{ account: subaccount }] }),
  [`${FEED}/ResolveHashes`]: () => ({ hashes: ["A".repeat(43)] }),
  [`${FEED}/RecordActivity`]: ({ accountKey }) => ({
    activities: [{ key_id: accountKey, last_used_at: new Date().toISOString() }],
  }),
  [`${FEED}/ClaimNonce`]: ({ accountKey, fresh }) => ({
    key_id: accountKey,
    nonce: fresh(),
    expires_at: new Date(Date.now() + SOON_MS).toISOString(),
  }),
  [`${FEED}/ResolveCatalog`]: () => ({}),
  [`${FEED}/ResolveMeters`]: () => ({}),

  "metering.v1.FeedService/GetHead": () => ({}),
  "metering.v1.FeedService/ReadPriceBook": () => ({}),
  "metering.v1.FeedService/ListChanges": async ({ call }) => ({
    after: await headOf(call("svc", "metering.v1.FeedService/GetHead", {})),
  }),
  "metering.v1.HoldingService/GetHoldings": ({ subaccount }) => ({ account_id: subaccount }),
  "metering.v1.HoldingService/MoveMoney": async (world) => ({
    account_id: await freshAccount(world),
    to_account_id: world.subaccount,
    actor_key_id: world.accountKey,
  }),
  "metering.v1.IngestService/RegisterProducer": ({ fresh }) => ({ producer: fresh(), epoch: "1" }),
  "metering.v1.IngestService/AcceptGap": async ({ call, fresh }) => {
    const producer = { producer: fresh(), epoch: "1" };
    await call("svc", "metering.v1.IngestService/RegisterProducer", producer);
    return { ...producer, sequence: "2" };
  },
  "metering.v1.IngestService/IngestBatch": async ({ call, fresh }) => {
    const producer = { producer: fresh(), epoch: "1" };
    await call("svc", "metering.v1.IngestService/RegisterProducer", producer);
    return { ...producer, sequence: "1", digest: hash("sha256", "", "base64"), payload: "" };
  },
  "metering.v1.LeaseService/Acquire": ({ fresh }) => ({ holder: `${fresh()}/1` }),
  "metering.v1.ControlService/ChargeCall": ({ subaccount }) => ({
    node_ids: [subaccount],
    scope: "gatehouse.keys.create",
  }),
  "metering.v1.LeaseService/ReadBuckets": ({ subaccount }) => ({ node_ids: [subaccount] }),
  "metering.v1.LeaseService/WatchRecalls": ({ fresh }) => ({ holder: `${fresh()}/1` }),
};

/** A reservation of the caller's own; where it may verify nothing of ours, of the provider's. */
async function reservedBy(world: World, caller: CallerName): Promise<string> {
  const body = { key: (await freshKey(world)).secret, reserve_ttl: "600s" };
  const { word, body: decision } = await world.call(caller, `${AUTHZ}/Verify`, body);
  return (word === "ok" ? decision : await world.made(`${AUTHZ}/Verify`, body)).decisionId;
}

async function headOf(answer: Promise<{ body: { head?: object } }>): Promise<object> {
  return (await answer).body.head ?? {};
}
