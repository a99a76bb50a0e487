/** What is fuzzed: each takes one input made from the randomness, and throws where what must hold does not. */
import { strict as assert } from "node:assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AddressList, canonicalRange, clientAddress, isAddress } from "@gatehouse/access";
import { decodeFreshness, encodeFreshness } from "@gatehouse/changefeed";
import {
  canonicalRequest,
  isId,
  KeyFormat,
  leakPattern,
  parseCanonicalRequest,
  parsePepper,
  readSignedHeaders,
  SIGNED_HEADERS,
  signedHeaders,
} from "@gatehouse/keys";
import { HeartbeatRequestSchema, VerifyRequestSchema } from "@gatehouse/proto/authz";
import {
  compileGrant,
  isResource,
  parseResource,
  parseScopeList,
  ScopeSyntaxError,
  scopeListErrors,
} from "@gatehouse/scopes";
import { Failure } from "@gatehouse/service";
import { beatCall, verifyCall } from "../../services/authz/src/rpc/verify-call.ts";
import type { Random } from "./random.ts";
import { batches, segments, spoolPayloads } from "./spool-targets.ts";

export type Target = (random: Random) => void;

const KEY_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
// The same in every run, so that a seed says it all.
const format = new KeyFormat({
  peppers: ["1", "2"].map((version) => parsePepper(`${version}:${"A".repeat(43)}`)),
});
const genuine = format.tagged(`gth_acc_${"0".repeat(20)}${"s".repeat(43)}`);
const leaks = new RegExp(leakPattern("gth").source);

/** What is no key is none, whatever it looks like; only what was minted is authentic. */
function keys(random: Random): void {
  const text =
    random.below(4) === 0 ? random.text(KEY_CHARACTERS, 100) : random.mutatedText(genuine, KEY_CHARACTERS);
  const parsed = format.parse(text);
  if (parsed === undefined) assert(!format.authentic(text));
  else {
    assert(isId("key", parsed.keyId));
    // What is stored of it is found by it alone: the text is the id, the secret and the tag, and nothing besides.
    assert.equal(text.length, genuine.length);
    assert(leaks.test(text), "a key that the documented expression does not find");
  }
  assert(text === genuine || !format.authentic(text), "a forged key is authentic");
}

const SCOPE_CHARACTERS = "abz09-_..**!";
const scopes = ["weather.read", "!weather.**", "*.read", "**", "a.b.c.d.*.f.**"];

/** A list parses if nothing is wrong with it, and what one function takes for a resource the others do, too. */
function scopeLists(random: Random): void {
  const scope = () =>
    random.below(2) === 0
      ? random.text(SCOPE_CHARACTERS, 30)
      : random.mutatedText(random.pick(scopes), SCOPE_CHARACTERS);
  const list = Array.from({ length: random.below(5) }, scope);
  const errors = scopeListErrors(list);
  const failure = thrownBy(() => parseScopeList(list));
  assert(failure === undefined || failure instanceof ScopeSyntaxError);
  assert.equal(failure === undefined, errors.length === 0);
  const resource = scope();
  assert.equal(isResource(resource), thrownBy(() => parseResource(resource)) === undefined);
  if (failure !== undefined || !isResource(resource)) return;
  const isAllowed = compileGrant({ scopes: list, roles: [] }).allows(resource);
  // Whatever else a list says, what it denies by name is denied.
  if (list.includes(`!${resource}`) || list.includes("!**")) assert(!isAllowed);
  else if (list.includes(resource)) assert(isAllowed || list.some((text) => text.startsWith("!")));
}

const tokens = [
  encodeFreshness("identity", { incarnation: "0b0b0b0b-1111-4222-8333-444444444444", revision: 17 }),
  encodeFreshness("metering", {
    incarnation: "0b0b0b0b-1111-4222-8333-444444444444",
    revision: 999_999_999_999,
  }),
];

/** A token that is read is written the same way again: there are no two of one meaning. */
function freshness(random: Random): void {
  const text =
    random.below(3) === 0
      ? random.text(KEY_CHARACTERS, 210)
      : random.mutatedText(random.pick(tokens), KEY_CHARACTERS);
  const read = decodeFreshness(text);
  if (read === undefined) return;
  assert.equal(encodeFreshness(read.source, read), text);
  assert(Number.isSafeInteger(read.revision));
}

const ADDRESS_CHARACTERS = "0123456789abcdef.:/[]%, ";
const hops = [
  "192.0.2.1:4711",
  "[2001:db8::1]:80",
  "::ffff:10.0.0.1",
  "10.0.0.1",
  "fe80::1%eth0",
  "unknown",
  "10.1.2.3/8",
];
const trusted = new AddressList(["10.0.0.0/8", "2001:db8::/32"]);

/** The caller's address is an address or is not known; a range has one spelling, which is a range. */
function addresses(random: Random): void {
  const hop = () =>
    random.below(3) === 0
      ? random.text(ADDRESS_CHARACTERS, 45)
      : random.mutatedText(random.pick(hops), ADDRESS_CHARACTERS);
  const peer = random.pick(["10.0.0.1", "192.0.2.9", "2001:db8::9"]);
  const header = Array.from({ length: random.below(5) }, hop).join(random.pick([",", ", "]));
  const address = clientAddress(peer, header, trusted);
  assert(address === undefined || isAddress(address));
  if (!trusted.has(peer)) assert.equal(address, peer, "a stranger's header is believed");
  const range = canonicalRange(hop());
  if (range === undefined) return;
  assert.equal(canonicalRange(range), range);
  assert(new AddressList([range]).has(range.slice(0, range.indexOf("/"))));
}

const verify = toBinary(
  VerifyRequestSchema,
  create(VerifyRequestSchema, {
    key: genuine,
    resource: "weather.read",
    charges: [{ meter: "tokens", units: 5n }],
    clientIp: "10.0.0.1",
    forwardedFor: "192.0.2.1, 10.0.0.2",
    atLeastAsFresh: [tokens[0]!],
    requestId: "r1",
    signed: { keyId: `key_${"0".repeat(20)}`, canonicalRequest: "GATEHOUSE-SIGNED-1\n", nonce: "12345678" },
  }),
);

/** Whatever decodes to a request is read, or refused for what is bad about it. */
function requests(random: Random): void {
  const bytes = random.below(5) === 0 ? random.bytes(random.below(80)) : random.mutated(Buffer.from(verify));
  for (const [schema, read] of [
    [VerifyRequestSchema, verifyCall],
    [HeartbeatRequestSchema, beatCall],
  ] as const) {
    let message: unknown;
    try {
      message = fromBinary(schema, bytes);
    } catch {
      continue;
    }
    const failure = thrownBy(() => read(message as never, trusted));
    if (failure === undefined) continue;
    assert(failure instanceof Failure && failure.code === "INVALID_ARGUMENT", failure as Error);
    assert(failure.violations.length > 0 && failure.violations.every(({ field }) => field !== ""));
  }
}

const signed = signedHeaders({
  keyId: `key_${"0".repeat(20)}`,
  algorithm: "HMAC_SHA256",
  secret: "a secret of a signing key, long enough",
  method: "POST",
  path: "/v1/weather?city=Vienna",
  account: "org/sub",
  timestampMs: 1_800_000_000_000,
  nonce: "0123456789abcdef",
});
const parts = readSignedHeaders((name) => signed[name], { method: "POST", path: "/v1/weather?city=Vienna" })!;
const SIGNED_CHARACTERS = `${KEY_CHARACTERS}/?&=%.\n `;

/** A canonical request that is read is written the same way again; headers make one that is read back, or none. */
function signedRequests(random: Random): void {
  const text = random.mutatedText(parts.canonicalRequest, SIGNED_CHARACTERS);
  const content = parseCanonicalRequest(text);
  if (content !== undefined) assert.equal(canonicalRequest(content), text);
  const bad = random.pick(Object.values(SIGNED_HEADERS));
  const value = random.mutatedText(signed[bad] ?? "", SIGNED_CHARACTERS);
  const method = random.below(4) === 0 ? random.text(SIGNED_CHARACTERS, 10) : "POST";
  const path = random.below(2) === 0 ? random.mutatedText("/v1/weather?city=Vienna", SIGNED_CHARACTERS) : "/";
  const read = readSignedHeaders((name) => (name === bad ? value : signed[name]), { method, path });
  if (read !== undefined) assert.deepEqual(parseCanonicalRequest(read.canonicalRequest), read.content);
}

export const targets: Readonly<Record<string, Target>> = {
  keys,
  scopeLists,
  freshness,
  addresses,
  requests,
  signedRequests,
  segments,
  spoolPayloads,
  batches,
};

function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error ?? new Error("nothing was thrown");
  }
}
