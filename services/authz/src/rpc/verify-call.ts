import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { type AddressList, clientAddress, integrationName, isAddress, METER_NAME } from "@gatehouse/access";
import { decodeFreshness, type Freshness } from "@gatehouse/changefeed";
import {
  type HeartbeatRequest,
  type HttpCall,
  type VerifyRequest,
  VerifyRequestSchema,
} from "@gatehouse/proto/authz";
import { isResource } from "@gatehouse/scopes";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { Need } from "../domain/lease-source.ts";
import type { Trace } from "../domain/trace.ts";
import type { VerifyCall } from "../domain/verify-call.ts";
import { type NameField, readSigned } from "./read-signed.ts";

const MAX_KEY_LENGTH = 4096;
const MAX_ACCOUNT_LENGTH = 200;
const MAX_CHARGES = 16;
const MAX_TOKENS = 8;
const MAX_REQUEST_ID_LENGTH = 100;
const MAX_FORWARDED_LENGTH = 1000;
const MAX_METHOD_LENGTH = 32;
/** What servers take of a request's first line by default. */
const MAX_PATH_LENGTH = 8192;
const MIN_RESERVE_TTL_MS = 1000;
const MAX_RESERVE_TTL_MS = 86_400_000;
/** A thousand such charges in one minute of one series still fit the 64 bits of a usage row. */
const MAX_UNITS = 2 ** 48;

/** An account id, a slug, or the provider's `org/sub`. */
const ACCOUNT = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)?$/;
const ONE_REQUEST: readonly Need[] = [{ meter: "requests", units: 1 }];
const NO_TOKENS: readonly Freshness[] = [];

/**
 * Reads a request; `trustedProxies` are those whose X-Forwarded-For is believed. Throws Failure INVALID_ARGUMENT naming
 * every bad field; `at` is put before their names.
 */
export function verifyCall(
  request: VerifyRequest,
  trustedProxies: AddressList | undefined,
  at = "",
  trace?: Trace,
): VerifyCall {
  const bad: Violation[] = [];
  const field = (name: string, description: string) => bad.push({ field: at + name, description });
  const { key, resource, account, requestId, clientIp, forwardedFor } = request;
  if (key === "" && request.signed === undefined) field("key", "is required, or signed");
  if (key !== "" && request.signed !== undefined) field("signed", "is not given where key is");
  if (key.length > MAX_KEY_LENGTH) field("key", `is longer than ${MAX_KEY_LENGTH} characters`);
  if (resource !== "" && !isResource(resource)) {
    field("resource", "must be segments of letters, digits, - and _, joined by dots");
  }
  if (account !== "" && (account.length > MAX_ACCOUNT_LENGTH || !ACCOUNT.test(account))) {
    field("account", "must be an account id or a slug");
  }
  if (requestId.length > MAX_REQUEST_ID_LENGTH) {
    field("request_id", `is longer than ${MAX_REQUEST_ID_LENGTH} characters`);
  }
  if (clientIp !== "" && !isAddress(clientIp)) field("client_ip", "must be an IPv4 or IPv6 address");
  if (forwardedFor !== "") {
    if (clientIp === "") field("client_ip", "is required with forwarded_for");
    if (forwardedFor.length > MAX_FORWARDED_LENGTH) {
      field("forwarded_for", `is longer than ${MAX_FORWARDED_LENGTH} characters`);
    }
  }
  const integration = request.integration === "" ? "" : integrationName(request.integration);
  if (integration === undefined) field("integration", "must be kebab-case, up to 63 characters");
  const http = request.http === undefined ? undefined : httpOf(request.http, resource, field);
  const needs = request.charges.length === 0 ? ONE_REQUEST : needsOf(request, field);
  const reserveTtlMs =
    request.reserveTtl === undefined ? undefined : reserveTtlOf(request.reserveTtl, needs, field);
  const atLeastAsFresh = request.atLeastAsFresh.length === 0 ? NO_TOKENS : tokensOf(request, field);
  const read = request.signed && readSigned(request.signed, account, http, field);
  if (bad.length > 0) throw invalid(bad);
  const address = clientIp === "" ? undefined : clientAddress(clientIp, forwardedFor, trustedProxies);
  return {
    presented: key,
    signed: read?.signed,
    resource,
    http,
    address,
    integration: integration ?? "",
    account: read === undefined ? account : read.account,
    needs,
    reserveTtlMs,
    atLeastAsFresh,
    at,
    trace,
  };
}

const NO_NEEDS: readonly Need[] = [];

/** Reads a beat: a call that wants nothing. Throws Failure INVALID_ARGUMENT naming every bad field. */
export function beatCall(request: HeartbeatRequest, trustedProxies: AddressList | undefined): VerifyCall {
  const { key, signed, clientIp, forwardedFor, atLeastAsFresh } = request;
  const init = { key, clientIp, forwardedFor, atLeastAsFresh, ...(signed !== undefined && { signed }) };
  const call = create(VerifyRequestSchema, init);
  return { ...verifyCall(call, trustedProxies), needs: NO_NEEDS };
}

function httpOf({ method, path }: HttpCall, resource: string, field: NameField): VerifyCall["http"] {
  if (resource !== "") field("http", "is not given where resource is");
  if (method.length < 1 || method.length > MAX_METHOD_LENGTH) {
    field("http.method", `must be 1 to ${MAX_METHOD_LENGTH} characters`);
  }
  if (!path.startsWith("/")) field("http.path", "must begin with /");
  if (path.length > MAX_PATH_LENGTH) field("http.path", `is longer than ${MAX_PATH_LENGTH} characters`);
  return { method, path };
}

function needsOf({ charges }: VerifyRequest, field: NameField): Need[] {
  if (charges.length > MAX_CHARGES) field("charges", `has more than ${MAX_CHARGES} entries`);
  const needs = charges.slice(0, MAX_CHARGES).map(({ meter, units }, i) => {
    if (!METER_NAME.test(meter)) field(`charges[${i}].meter`, "must be the name of a meter");
    if (units < 0n || units > BigInt(MAX_UNITS)) {
      field(`charges[${i}].units`, `must be from 0 to ${MAX_UNITS}`);
    }
    return { meter, units: Number(units) };
  });
  const meters = new Set(needs.map(({ meter }) => meter));
  if (meters.size < needs.length) field("charges", "names a meter twice");
  return meters.has("requests") || isPeek(needs) ? needs : [...needs, ...ONE_REQUEST];
}

function reserveTtlOf(ttl: Duration, needs: readonly Need[], field: NameField): number {
  const ttlMs = durationMs(ttl);
  if (!(ttlMs >= MIN_RESERVE_TTL_MS && ttlMs <= MAX_RESERVE_TTL_MS)) {
    field("reserve_ttl", "must be from 1 second to 24 hours");
  }
  if (isPeek(needs)) field("reserve_ttl", "is not given where nothing is charged");
  return Math.floor(ttlMs);
}

// A call whose units are all 0 is a peek, and charges no request either.
function isPeek(needs: readonly Need[]): boolean {
  return needs.every(({ units }) => units === 0);
}

function tokensOf({ atLeastAsFresh }: VerifyRequest, field: NameField): Freshness[] {
  if (atLeastAsFresh.length > MAX_TOKENS) field("at_least_as_fresh", `has more than ${MAX_TOKENS} entries`);
  return atLeastAsFresh.slice(0, MAX_TOKENS).flatMap((text, i) => {
    const token = decodeFreshness(text);
    if (token === undefined) field(`at_least_as_fresh[${i}]`, "is not a freshness token");
    return token ?? [];
  });
}
