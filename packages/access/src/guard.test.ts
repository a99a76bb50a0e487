import { create } from "@bufbuild/protobuf";
import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { AccessSchema, Caller } from "@gatehouse/proto/common";
import { FeedService } from "@gatehouse/proto/identity";
import type { Call, PeerCertificate } from "@gatehouse/service";
import { describe, expect, it } from "vitest";
import { keyOf, organization, root, viewOf } from "../test/nodes.ts";
import { AddressList } from "./address.ts";
import { accessGuard, hasCredential, presentedKey } from "./guard.ts";
import type { KeyView } from "./node.ts";

const format = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
const minted = format.mint("MASTER");
const key = keyOf({ id: minted.keyId, secretHashes: [minted.hash], scopes: ["gatehouse.keys.*"] });
const serviceSecret = "a secret between services, long enough";

function call(headers: Record<string, string>, peerCertificate?: PeerCertificate): Call<undefined> {
  return { header: (name: string) => headers[name], peerCertificate } as unknown as Call<undefined>;
}

const bearer = (credential: string) => call({ authorization: `Bearer ${credential}` });

function admit(caller: Caller, scope: string, view: KeyView = viewOf({ key })) {
  const guard = accessGuard({ directory: { findKey: () => view }, format, serviceSecret });
  return guard(FeedService.method.getHead, create(AccessSchema, { caller, scope }));
}

describe("the credential of a call", () => {
  it("is a bearer token or an x-api-key", () => {
    expect(presentedKey(bearer("one"))).toBe("one");
    expect(presentedKey(call({ authorization: "bearer  one" }))).toBe("one");
    expect(presentedKey(call({ "x-api-key": "one" }))).toBe("one");
    expect(presentedKey(call({ authorization: "Bearer one", "x-api-key": "two" }))).toBe("one");
  });

  it("is missing, which is said, or not one", () => {
    for (const headers of [{}, { "x-api-key": "" }]) {
      expect(() => presentedKey(call(headers))).toThrow(
        expect.objectContaining({ reason: "CREDENTIAL_MISSING" }),
      );
    }
    for (const authorization of ["", "Bearer", "Bearer ", "Basic one", "Bearer one two", "Bearerone"]) {
      const presented = () => presentedKey(call({ authorization, "x-api-key": "two" }));
      expect(presented, authorization).toThrow(expect.objectContaining({ reason: "CREDENTIAL_INVALID" }));
    }
  });
});

describe("the guard", () => {
  it("lets in a key that holds the scope, by either header", () => {
    const guard = admit(Caller.KEY, "gatehouse.keys.read");
    expect(guard(bearer(minted.presented))).toMatchObject({ view: { key: { id: minted.keyId } } });
    expect(guard(call({ "x-api-key": minted.presented }))).toMatchObject({ view: { key } });
  });

  it("waits for a directory that has to ask", async () => {
    const guard = accessGuard({ directory: { findKey: async () => viewOf({ key }) }, format, serviceSecret });
    const admitted = guard(
      FeedService.method.getHead,
      create(AccessSchema, { caller: Caller.KEY, scope: "gatehouse.accounts.read" }),
    );
    await expect(admitted(bearer(minted.presented))).rejects.toMatchObject({ reason: "SCOPE_DENIED" });
  });

  it("refuses a key without the scope, naming it", () => {
    const guard = admit(Caller.KEY, "gatehouse.accounts.create");
    expect(() => guard(bearer(minted.presented))).toThrow(
      expect.objectContaining({
        code: "PERMISSION_DENIED",
        reason: "SCOPE_DENIED",
        message: expect.stringContaining("gatehouse.accounts.create"),
      }),
    );
  });

  it("asks no scope of a living key where the rule states none", () => {
    expect(admit(Caller.KEY, "")(bearer(minted.presented))).toMatchObject({ view: { key } });
    expect(() => admit(Caller.KEY, "")(bearer("x"))).toThrow(
      expect.objectContaining({ reason: "CREDENTIAL_INVALID" }),
    );
  });

  it("lets only the provider's keys do what is the provider's", () => {
    const providers = viewOf({ key, chain: [root] });
    const scope = "gatehouse.keys.read";
    expect(admit(Caller.PROVIDER, scope, providers)(bearer(minted.presented))).toMatchObject({
      view: { key },
    });
    expect(() => admit(Caller.PROVIDER, scope)(bearer(minted.presented))).toThrow(
      expect.objectContaining({ code: "PERMISSION_DENIED", reason: "PROVIDER_ONLY" }),
    );
    expect(() =>
      admit(Caller.PROVIDER, "gatehouse.meters.create", providers)(bearer(minted.presented)),
    ).toThrow(expect.objectContaining({ reason: "SCOPE_DENIED" }));
  });

  it("holds a key to its addresses, behind the proxies that are ours", () => {
    const rule = create(AccessSchema, { caller: Caller.KEY });
    const from = (peerAddress: string | undefined, forwardedFor?: string) => ({
      header: (name: string) => ({ "x-api-key": minted.presented, "x-forwarded-for": forwardedFor })[name],
      peerAddress,
    });
    const view = viewOf({ key: keyOf({ ...key, ipAllow: ["198.51.100.0/24"] }) });
    const options = { directory: { findKey: () => view }, format, serviceSecret };
    const trustedProxies = new AddressList(["10.0.0.0/8"]);
    const guards = [options, { ...options, trustedProxies }].map(accessGuard);
    const admits = ([direct, proxied]: typeof guards, each: ReturnType<typeof from>) =>
      [direct, proxied].map((guard) => {
        try {
          return guard!(FeedService.method.getHead, rule)(each as never) !== undefined;
        } catch (error) {
          return (error as { reason: string }).reason;
        }
      });
    const no = "ADDRESS_DENIED";
    expect(admits(guards, from("198.51.100.7"))).toEqual([true, true]);
    expect(admits(guards, from("10.0.0.1"))).toEqual([no, no]);
    expect(admits(guards, from("10.0.0.1", "198.51.100.7"))).toEqual([no, true]);
    expect(admits(guards, from("10.0.0.1", "198.51.100.7, 192.0.2.1"))).toEqual([no, no]);
    expect(admits(guards, from("192.0.2.1", "198.51.100.7"))).toEqual([no, no]);
    expect(admits(guards, from(undefined))).toEqual([no, no]);
  });

  it("asks for the terms first, except where the rule says so", () => {
    const terms = [{ document: "tos", version: "2", gates: ["gatehouse.keys.**"] }];
    const rules = { types: new Map(), terms, importPrefixes: [] };
    const view = viewOf({ key, chain: [organization, { ...root, providerRules: rules }] });
    const options = { directory: { findKey: () => view }, format, serviceSecret };
    const asked = (scope: string, beforeTerms: boolean) =>
      accessGuard(options)(
        FeedService.method.getHead,
        create(AccessSchema, { caller: Caller.KEY, scope, beforeTerms }),
      )(bearer(minted.presented));
    expect(() => asked("gatehouse.keys.create", false)).toThrow(
      expect.objectContaining({ code: "PERMISSION_DENIED", reason: "TERMS_REQUIRED" }),
    );
    expect(asked("gatehouse.keys.create", true)).toMatchObject({ view: { key } });
    expect(asked("", false)).toMatchObject({ view: { key } });
  });

  it("lets services in by their secret, and no key of anybody's", () => {
    const guard = admit(Caller.SERVICE, "");
    expect(guard(bearer(serviceSecret))).toBeUndefined();
    for (const presented of [minted.presented, `${serviceSecret}x`, serviceSecret.slice(1), ""]) {
      expect(() => guard(bearer(presented)), presented).toThrow(
        expect.objectContaining({ code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" }),
      );
    }
    expect(() => guard(call({ "x-api-key": serviceSecret }))).toThrow(
      expect.objectContaining({ reason: "CREDENTIAL_MISSING" }),
    );
  });

  it("does not let a service in where a key is asked for", () => {
    expect(() => admit(Caller.KEY, "")(bearer(serviceSecret))).toThrow(
      expect.objectContaining({ reason: "CREDENTIAL_INVALID" }),
    );
  });

  it("is not made for a rule it does not know, nor with a secret that can be guessed", () => {
    expect(() => admit(Caller.UNSPECIFIED, "")).toThrow("no guard");
    expect(() => accessGuard({ directory: { findKey: () => undefined }, format, serviceSecret: "" })).toThrow(
      "too short",
    );
  });
});

describe("a client's certificate", () => {
  const good = { isTrusted: true, expiresAtMs: Date.now() + 60_000, commonName: minted.keyId, uris: [] };
  const showing = (certificate: Partial<PeerCertificate>, headers = {}) =>
    call(headers, { ...good, ...certificate });
  const refusalOf = (certificate: Partial<PeerCertificate>, view?: KeyView) => {
    try {
      admit(Caller.KEY, "gatehouse.keys.read", view)(showing(certificate));
      return "none";
    } catch (error) {
      return (error as { reason: string }).reason;
    }
  };
  const uri = (id: string) => `gatehouse:${id}`;
  const other = format.mint("ACCOUNT").keyId;

  it("stands for the key that it names, which then is checked like any", () => {
    const guard = admit(Caller.KEY, "gatehouse.keys.read");
    expect(guard(showing({}))).toMatchObject({
      view: { key: { id: minted.keyId } },
      presentedHash: undefined,
    });
    expect(refusalOf({}, viewOf({ key: { ...key, status: "DISABLED" } }))).toBe("KEY_DISABLED");
    expect(refusalOf({}, viewOf({ key: { ...key, status: "REVOKED" } }))).toBe("CREDENTIAL_INVALID");
    expect(refusalOf({}, viewOf({ key: { ...key, expiresAtMs: 1 } }))).toBe("KEY_EXPIRED");
    const suspended = [{ ...organization, status: "SUSPENDED" as const }, root];
    expect(refusalOf({}, viewOf({ key, chain: suspended }))).toBe("ACCOUNT_SUSPENDED");
    expect(() => admit(Caller.KEY, "gatehouse.accounts.create")(showing({}))).toThrow(
      "gatehouse.accounts.create",
    );
  });

  it("names it by a URI before its common name", () => {
    const asked: string[] = [];
    const directory = { findKey: (id: string) => void asked.push(id) };
    const rule = create(AccessSchema, { caller: Caller.KEY, scope: "gatehouse.keys.read" });
    const guard = accessGuard({ directory, format, serviceSecret })(FeedService.method.getHead, rule);
    const uris = ["spiffe://shop/gateway", uri(other)];
    expect(() => guard(showing({ uris }))).toThrow(expect.objectContaining({ reason: "CREDENTIAL_INVALID" }));
    expect(asked).toEqual([other]);
  });

  it.each<[string, Partial<PeerCertificate>]>([
    ["of another CA", { isTrusted: false }],
    ["that is over", { expiresAtMs: Date.now() }],
    ["that names nobody", { commonName: undefined }],
    ["that names what is no key", { commonName: "gateway.example.com" }],
    ["that names an account", { commonName: minted.keyId.replace("key_", "acc_") }],
    ["that names two keys", { uris: [uri(minted.keyId), uri(other)] }],
    ["whose URI names no key", { uris: [uri("gateway")] }],
  ])("%s is refused", (_, certificate) => {
    expect(refusalOf(certificate)).toBe("CREDENTIAL_INVALID");
  });

  it("counts for nothing where a key is presented", () => {
    const guard = admit(Caller.KEY, "gatehouse.keys.read");
    const { presented } = minted;
    expect(guard(showing({ isTrusted: false }, { "x-api-key": presented }))).toMatchObject({ view: { key } });
    expect(() => guard(showing({}, { authorization: `Bearer ${presented}x` }))).toThrow(
      expect.objectContaining({ reason: "CREDENTIAL_INVALID" }),
    );
  });

  it("is no service's", () => {
    expect(() => admit(Caller.SERVICE, "")(showing({}))).toThrow(
      expect.objectContaining({ reason: "CREDENTIAL_MISSING" }),
    );
  });

  it("is a credential, be it a wrong one", () => {
    expect(hasCredential(showing({ isTrusted: false }))).toBe(true);
    expect(hasCredential(call({ authorization: "" }))).toBe(true);
    expect(hasCredential(call({ "x-api-key": "" }))).toBe(false);
  });
});
