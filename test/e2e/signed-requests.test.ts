import { readFile, writeFile } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { newEncryptionKey } from "@gatehouse/keys";
import { DecisionCode, type SignedRequestSchema } from "@gatehouse/proto/authz";
import pg from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { makeSigningKey, type SigningKey, signedWith } from "../system/signing-key.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";

/** Signed requests, by real clients of real processes; two replicas. */

/** A key that turns strict replay on waits for as long as a replica may be cut off. */
const environment = { GATEHOUSE_STALENESS_MAX: "4s" };
const system = useSystem({ replicas: [{ environment }, { environment }] });
let made: Organization;
let plain: SigningKey;
let strict: SigningKey;

beforeAll(async () => {
  made = await makeOrganization(system(), "Signers", ["desk"]);
  plain = await makeSigningKey(made.master, "HMAC_SHA384");
  strict = await makeSigningKey(made.master, "ED25519", { strictReplay: true });
});

type Signed = MessageInitShape<typeof SignedRequestSchema>;

function verify(replica: number, signed: Signed, more: { requestId?: string; account?: string } = {}) {
  return system().root.authz[replica]!.verify({ signed, resource: "orders.create", ...more }, timely);
}

async function code(replica: number, signed: Signed): Promise<string> {
  return DecisionCode[(await verify(replica, signed)).code]!;
}

/** A replica that was started a moment ago, or that identity comes back to, decides a little later. */
function signedUntilValid(replica: number, key: SigningKey): Promise<Signed> {
  return until(`replica ${replica} admits a signed request`, async () => {
    const signed = signedWith(key);
    return (await code(replica, signed)) === "VALID" && signed;
  });
}

/** Its clients dial again by and by. */
async function reached(replica: number): Promise<void> {
  const ask = () => system().root.authz[replica]!.verify({ key: "none" }, timely);
  await until(`replica ${replica} is reached`, () =>
    ask().then(
      () => true,
      () => false,
    ),
  );
}

describe("a signed request", () => {
  test.each(["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"] as const)(
    "by %s is VALID once, and not at all when it was changed",
    async (algorithm) => {
      const key = await makeSigningKey(made.master, algorithm, { account: "desk" });
      const signed = signedWith(key);
      const first = await verify(0, signed);
      expect(DecisionCode[first.code]).toBe("VALID");
      expect([first.keyId, first.accountId]).toEqual([key.id, made.subaccounts[0]!.id]);
      expect(await code(0, signed)).toBe("REPLAYED");
      const other = signedWith(key);
      const changed = { ...other, canonicalRequest: other.canonicalRequest!.replace("orders", "payouts") };
      expect(await code(0, changed)).toBe("SIGNATURE_INVALID");
      expect(await code(0, { ...other, keyId: plain.id })).toBe("SIGNATURE_INVALID");
      expect(await code(0, signedWith(key, { timestampMs: Date.now() - 31_000 }))).toBe("SIGNATURE_INVALID");
    },
  );

  test("by a master key acts on the account that was signed", async () => {
    const master = await makeSigningKey(made.master, "ED25519", { isMaster: true });
    const signed = () => signedWith(master, { account: "desk" });
    expect((await verify(0, signed())).accountId).toBe(made.subaccounts[0]!.id);
    expect((await verify(0, signed(), { account: "desk" })).accountId).toBe(made.subaccounts[0]!.id);
    expect((await verify(0, signed(), { account: made.slug })).code).toBe(DecisionCode.SIGNATURE_INVALID);
    expect((await verify(0, signedWith(master))).accountId).toBe(made.id);
  });

  test("holds by the secret before a rotation until its grace ends", async () => {
    const key = await makeSigningKey(made.master, "HMAC_SHA512", { account: "desk" });
    const { secret, freshness } = await made.master.keys.rotateKey(
      { key: key.id, grace: { seconds: 3600n } },
      timely,
    );
    const rotated = { ...key, secret };
    const fresh = { signed: signedWith(rotated), atLeastAsFresh: [freshness] };
    expect((await system().root.authz[0]!.verify(fresh, timely)).code).toBe(DecisionCode.VALID);
    expect(await code(0, signedWith(key))).toBe("VALID");
    const leaked = await made.master.keys.rotateKey({ key: key.id }, timely);
    const late = { signed: signedWith(rotated), atLeastAsFresh: [leaked.freshness] };
    expect((await system().root.authz[0]!.verify(late, timely)).code).toBe(DecisionCode.SIGNATURE_INVALID);
  });

  test("is about the method and the path that were signed, and says which of them is not", async () => {
    const about = async (method: string, path: string) => {
      const call = { signed: signedWith(plain), http: { method, path } };
      const { code, reason } = await system().root.authz[0]!.verify(call, timely);
      return [DecisionCode[code], reason];
    };
    expect(await about("DELETE", "/v1/orders/7")).toEqual([
      "SIGNATURE_INVALID",
      "http.method, http.path: another was signed",
    ]);
    // What was signed, and nothing in the catalog.
    expect(await about("POST", "/v1/orders?dry=true")).toEqual([
      "SCOPE_DENIED",
      "no endpoint of the catalog matches POST /v1/orders",
    ]);
  });

  test("of before strict replay was turned on is admitted by no other replica", async () => {
    const key = await makeSigningKey(made.master, "HMAC_SHA256");
    await signedUntilValid(1, key);
    const early = await signedUntilValid(0, key);
    const { freshness } = await made.master.keys.updateKey({ key: key.id, strictReplay: true }, timely);
    const codes = await Promise.all(
      [0, 1].map(async (replica) => {
        const call = { signed: early, atLeastAsFresh: [freshness] };
        return DecisionCode[(await system().root.authz[replica]!.verify(call, timely)).code];
      }),
    );
    expect(codes).toEqual(["REPLAYED", "INDETERMINATE"]);
    const late = await signedUntilValid(1, key);
    expect(await code(0, late)).toBe("REPLAYED");
  });

  test("under a request id is charged once and answered alike, and is replayed under another", async () => {
    const signed = signedWith(plain);
    const first = await verify(0, signed, { requestId: "signed and retried" });
    expect(first.code).toBe(DecisionCode.VALID);
    const asOfNow = { freshness: expect.any(String), staleness: expect.anything() };
    expect(await verify(0, signed, { requestId: "signed and retried" })).toEqual({ ...first, ...asOfNow });
    expect((await verify(0, signed, { requestId: "another" })).code).toBe(DecisionCode.REPLAYED);
  });

  test("twice in one batch is admitted once", async () => {
    const request = { signed: signedWith(plain) };
    const { responses } = await system().root.authz[0]!.batchVerify({ requests: [request, request] }, timely);
    expect(responses.map((each) => DecisionCode[each.code])).toEqual(["VALID", "REPLAYED"]);
  });

  test("is a beat", async () => {
    const signed = signedWith(plain);
    const beat = async () => DecisionCode[(await system().root.authz[0]!.heartbeat({ signed }, timely)).code];
    expect([await beat(), await beat()]).toEqual(["VALID", "REPLAYED"]);
  });
});

describe("a request that was captured", () => {
  test("is admitted once by each replica, and with strict replay once in all", async () => {
    const replayed = signedWith(plain);
    expect([await code(0, replayed), await code(1, replayed)]).toEqual(["VALID", "VALID"]);
    expect([await code(0, replayed), await code(1, replayed)]).toEqual(["REPLAYED", "REPLAYED"]);
    const once = signedWith(strict);
    expect([await code(0, once), await code(1, once), await code(0, once)]).toEqual([
      "VALID",
      "REPLAYED",
      "REPLAYED",
    ]);
    const raced = signedWith(strict);
    const codes = await Promise.all(Array.from({ length: 10 }, (_, i) => code(i % 2, raced)));
    expect(codes.filter((each) => each === "VALID")).toHaveLength(1);
    expect(codes.filter((each) => each === "REPLAYED")).toHaveLength(9);
  });

  test.each(["kill", "stop"] as const)(
    "is not admitted by the replica that comes after a %s",
    async (end) => {
      // One client's clock is ahead: what it signed is in the window of the next process, and after its start.
      await signedUntilValid(0, plain);
      const captured = [signedWith(plain), signedWith(plain, { timestampMs: Date.now() + 5000 })];
      const once = signedWith(strict);
      for (const signed of [...captured, once]) expect(await code(0, signed)).toBe("VALID");
      const { process } = system().replicas[0]!;
      await process[end]();
      await process.start();
      await reached(0);
      for (const signed of captured) expect(await code(0, signed)).toBe("INDETERMINATE");
      expect(await code(0, once)).toBe("REPLAYED");
      await signedUntilValid(0, strict);
      const other = await signedUntilValid(1, plain);
      expect(await code(1, other)).toBe("REPLAYED");
    },
  );

  test("is not decided, with strict replay, while identity cannot be asked", async () => {
    const { identity } = system().replicas[1]!.links;
    expect(await code(1, signedWith(strict))).toBe("VALID");
    const local = await signedUntilValid(1, plain);
    const waiting = signedWith(strict);
    identity.cut();
    try {
      expect(await code(1, waiting)).toBe("INDETERMINATE");
      // What this replica knows by itself it goes on deciding, as long as what is cached may answer.
      expect(await code(1, local)).toBe("REPLAYED");
      expect(await code(1, signedWith(plain))).toBe("VALID");
    } finally {
      identity.mend();
    }
    await until("the request is decided", async () => (await code(1, waiting)) !== "INDETERMINATE");
    await signedUntilValid(1, strict);
  });
});

test("the upstream credential goes to those who may see it, and into no log", async () => {
  const value = "upstream-secret-of-the-organization";
  const { freshness } = await made.master.accounts.setUpstreamCredential(
    { account: made.id, header: "X-Api-Key", value },
    timely,
  );
  const { key } = made.subaccounts[0]!;
  const call = { key: key.secret, atLeastAsFresh: [freshness] };
  const seen = await system().root.authz[0]!.verify(call, timely);
  expect(seen.upstreamHeader).toMatchObject({ name: "x-api-key", value });
  const signed = await signedUntilValid(0, strict);
  expect(DecisionCode[(await verify(0, signed)).code]).toBe("REPLAYED");
  expect((await verify(0, signed)).upstreamHeader).toBeUndefined();
  const facade = await made.master.keys.createKey(
    { account: "desk", name: "facade", scopes: ["gatehouse.verify"] },
    timely,
  );
  const below = await system().as(facade.secret).authz[0]!.verify(call, timely);
  expect([below.code, below.upstreamHeader]).toEqual([DecisionCode.VALID, undefined]);
  const ofProvider = "upstream-secret-of-the-provider";
  const set = await system().root.accounts.setUpstreamCredential(
    { account: made.subaccounts[0]!.id, header: "authorization", value: ofProvider },
    timely,
  );
  const anew = { key: key.secret, atLeastAsFresh: [set.freshness] };
  const asked = [system().root, made.master].map((verifier) => verifier.authz[0]!.verify(anew, timely));
  const told = (await Promise.all(asked)).map(({ upstreamHeader }) => upstreamHeader?.value);
  expect(told).toEqual([ofProvider, value]);
  for (const secret of [value, ofProvider, plain.secret as string])
    expect(system().logs()).not.toContain(secret);
});

/** As docs/secrets.md has it: the new key last, then first, then alone. */
test("signing goes on while the encryption keys are rotated", async () => {
  const { encryptionKeysFile, identity, replicas } = system();
  const restart = async (...keys: string[]) => {
    await writeFile(encryptionKeysFile, keys.join(","));
    await identity.stop();
    await identity.start();
    await replicas[0]!.process.stop();
    await replicas[0]!.process.start();
    await reached(0);
    await signedUntilValid(0, plain);
  };
  const old = await readFile(encryptionKeysFile, "utf8");
  const young = newEncryptionKey("2");
  await restart(old, young);
  await restart(young, old);
  const sql = new pg.Client({ connectionString: system().databaseUrl });
  await sql.connect();
  try {
    await until("everything is sealed anew", async () => {
      const { rows } = await sql.query<{ old: number }>(
        `SELECT (SELECT count(*) FROM identity.account
                 WHERE upstream_credential <> '' AND NOT starts_with(upstream_credential, 's1.2.'))
              + (SELECT count(*) FROM identity.key, jsonb_array_elements(signing -> 'keys') AS e(k)
                 WHERE signing ->> 'algorithm' <> 'ED25519' AND NOT starts_with(k ->> 'value', 's1.2.')) AS old`,
      );
      return Number(rows[0]!.old) === 0;
    });
  } finally {
    await sql.end();
  }
  await restart(young);
  expect((await verify(0, signedWith(plain))).upstreamHeader?.name).toBe("x-api-key");
});
