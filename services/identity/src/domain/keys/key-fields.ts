import { canonicalRange, integrationName } from "@gatehouse/access";
import { type Chain, rootOf } from "../accounts/account.ts";
import type { Fields } from "../fields.ts";
import type { Reads } from "../store.ts";
import type { Key } from "./key.ts";

/** What creates and updates can say of a key, as the caller sent it. Times are Unix milliseconds. */
export interface AskedOfKey {
  readonly name: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly endpoints: readonly string[];
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
  readonly deniedIntegrations: readonly string[];
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
  readonly requireHeartbeat: boolean | undefined;
  readonly heartbeatTimeoutMs: number | undefined;
}

export const MAX_ENDPOINTS = 100;
export const MAX_RANGES = 50;
const MAX_DENIED_INTEGRATIONS = 50;
/** Longer than any name in the catalog. */
const MAX_NAME = 100;

export const DEFAULT_HEARTBEAT_MS = 30_000;
const MIN_HEARTBEAT_MS = 1000;
const MAX_HEARTBEAT_MS = 24 * 60 * 60 * 1000;

/** Checks all that a request alone can tell; a name only where it is `named`. Addresses come back canonical. */
export function checkAsked(fields: Fields, asked: AskedOfKey, { named = true } = {}): AskedOfKey {
  return {
    name: named ? fields.keyName("name", asked.name) : asked.name,
    roles: fields.roles("roles", asked.roles),
    scopes: fields.scopes("scopes", asked.scopes),
    labels: fields.labels("labels", asked.labels),
    endpoints: names(fields, "endpoints", asked.endpoints, MAX_ENDPOINTS),
    ipAllow: ranges(fields, "ip_allow", asked.ipAllow),
    ipDeny: ranges(fields, "ip_deny", asked.ipDeny),
    deniedIntegrations: names(
      fields,
      "denied_integrations",
      asked.deniedIntegrations,
      MAX_DENIED_INTEGRATIONS,
    ),
    notBeforeMs: fields.time("not_before", asked.notBeforeMs),
    expiresAtMs: fields.time("expires_at", asked.expiresAtMs),
    requireHeartbeat: asked.requireHeartbeat,
    heartbeatTimeoutMs: heartbeatTimeout(fields, asked.heartbeatTimeoutMs),
  };
}

/**
 * Says where a key could never be valid. Behind the look-up of what was created before: a create that timed out is
 * repeated when its time may have passed.
 */
export function judgeTimes(fields: Fields, { notBeforeMs, expiresAtMs }: Times, nowMs: number): void {
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) {
    fields.wrong("expires_at", "must be in the future");
  } else if (expiresAtMs !== undefined && notBeforeMs !== undefined && expiresAtMs <= notBeforeMs) {
    fields.wrong("expires_at", "must be after not_before");
  }
}

type Times = Pick<AskedOfKey, "notBeforeMs" | "expiresAtMs">;

/**
 * The endpoints and integrations behind what the caller named, each once and in its own spelling. Names every one that the provider has not
 * declared; of too many none.
 */
export async function declared(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  chain: Chain,
  asked: Pick<AskedOfKey, "endpoints" | "deniedIntegrations">,
): Promise<Pick<Key, "endpoints" | "deniedIntegrations">> {
  const endpoints = fields.isWrong("endpoints") ? [] : asked.endpoints;
  const barred = fields.isWrong("denied_integrations") ? [] : asked.deniedIntegrations;
  const deniedIntegrations = barred.map((name) => integrationName(name) ?? name);
  const catalog = endpoints.length === 0 ? NO_CATALOG : await catalogOf(reads, chain);
  const integrations = deniedIntegrations.length === 0 ? [] : await integrationsOf(reads, chain);
  const known = new Set(integrations.map(({ name }) => name));
  for (const [index, name] of endpoints.entries()) {
    if (!catalog.has(name)) fields.wrong(`endpoints[${index}]`, "is no endpoint of the API catalog");
  }
  for (const [index, name] of deniedIntegrations.entries()) {
    if (!known.has(name)) fields.wrong(`denied_integrations[${index}]`, "is no integration");
  }
  const found = [...new Set(endpoints)].filter((name) => catalog.has(name));
  return {
    endpoints: found.map((name) => ({ name, resource: catalog.get(name)!.resource })),
    deniedIntegrations: [...new Set(deniedIntegrations)],
  };
}

/** The integrations that the provider bars sub-keys from where nothing else is said. */
export async function deniedToSubKeys(reads: Pick<Reads, "definitions">, chain: Chain): Promise<string[]> {
  const integrations = await integrationsOf(reads, chain);
  // All of them, however many the provider lists: leaving one out would let sub-keys through.
  return integrations.filter(({ body }) => body.deniedToSubKeys).map(({ name }) => name);
}

/** The endpoints of every API, by name. */
export async function catalogOf(reads: Pick<Reads, "definitions">, chain: Chain): Promise<Catalog> {
  const apis = await reads.definitions.list("api", rootOf(chain).id);
  return new Map(apis.flatMap(({ body }) => body.endpoints.map((endpoint) => [endpoint.name, endpoint])));
}

export type Catalog = ReadonlyMap<string, { readonly title: string; readonly resource: string }>;
export const NO_CATALOG: Catalog = new Map();

function integrationsOf(reads: Pick<Reads, "definitions">, chain: Chain) {
  return reads.definitions.list("integration", rootOf(chain).id);
}

function names(fields: Fields, field: string, given: readonly string[], max: number): readonly string[] {
  if (given.length > max) fields.wrong(field, `must have at most ${max} names`);
  for (const [index, name] of given.slice(0, max).entries()) {
    fields.text(`${field}[${index}]`, name, { min: 1, max: MAX_NAME });
  }
  return given;
}

function ranges(fields: Fields, field: string, given: readonly string[]): readonly string[] {
  if (given.length > MAX_RANGES) fields.wrong(field, `must have at most ${MAX_RANGES} addresses or ranges`);
  const canonical = given.slice(0, MAX_RANGES).map((text, index) => {
    const range = text.length > MAX_NAME ? undefined : canonicalRange(text);
    if (range === undefined) fields.wrong(`${field}[${index}]`, "must be an address or a range in CIDR");
    return range ?? text;
  });
  return [...new Set(canonical)];
}

function heartbeatTimeout(fields: Fields, value: number | undefined): number | undefined {
  if (value !== undefined && !(value >= MIN_HEARTBEAT_MS && value <= MAX_HEARTBEAT_MS)) {
    fields.wrong("heartbeat_timeout", "must be 1 second to 1 day");
  }
  return value;
}
