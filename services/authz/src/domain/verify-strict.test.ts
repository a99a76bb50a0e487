import { describe, expect, it } from "vitest";
import { FreshnessGate } from "./freshness-gate.ts";
import { sign, signer } from "./signing.fixture.ts";
import { callOf, keyed, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";

const WINDOW_MS = 30_000;

describe("with strict replay", () => {
  /** Two replicas of one deployment, which remembers nonces as identity does. */
  function deployment() {
    const replicas = [new TestVerifier(), new TestVerifier()] as const;
    const taken = new Set<string>();
    const asked: string[] = [];
    for (const replica of replicas) {
      replica.claimNonce = async (keyId, nonce) => {
        asked.push(nonce);
        const name = `${keyId} ${nonce}`;
        return !taken.has(name) && taken.add(name).has(name);
      };
    }
    const [one, two] = replicas;
    const bot = signer(one, "acc_org", "HMAC_SHA256", { strictReplay: true });
    two.identity.putKey(bot.id, {
      signing: {
        algorithm: bot.algorithm,
        keys: [{ value: two.sealer.seal(bot.secret as string, bot.id), untilMs: undefined }],
        strictReplay: true,
        strictSinceMs: undefined,
      },
    });
    two.follow();
    return { one, two, bot, asked };
  }

  it("one replica admits a request, and the deployment is asked once for each", async () => {
    const { one, two, bot, asked } = deployment();
    const signed = sign(one, bot);
    const codes = await Promise.all([one, two, one, two].map((replica) => replica.code({ signed })));
    expect(codes.toSorted()).toEqual(["REPLAYED", "REPLAYED", "REPLAYED", "VALID"]);
    const before = asked.length;
    expect(await one.code({ signed: sign(one, bot) })).toBe("VALID");
    expect(asked.length - before).toBe(1);
  });

  it("a denied request asks no one, and one that was denied after it asked does not ask again", async () => {
    const { one, bot, asked } = deployment();
    const signed = sign(one, bot);
    one.changeKey(bot.id, { status: "DISABLED" });
    expect(await one.code({ signed })).toBe("DISABLED");
    expect(asked).toEqual([]);
    one.changeKey(bot.id, { status: "ENABLED" });
    const { charge } = one.options.pool;
    const refusing = { kind: "refused", bucket: { limit: { kind: "rate" } }, remaining: 0, retryAfterMs: 1 };
    (one.options.pool as { charge: unknown }).charge = () => refusing;
    expect(await one.code({ signed })).toBe("RATE_LIMITED");
    expect(await one.code({ signed })).toBe("RATE_LIMITED");
    (one.options.pool as { charge: unknown }).charge = charge;
    expect(await one.code({ signed })).toBe("VALID");
    expect(await one.code({ signed })).toBe("REPLAYED");
    expect(asked).toHaveLength(1);
  });

  it("a request whose limits are too old to charge by asks no one", async () => {
    const { one, bot, asked } = deployment();
    const meteringProof = { ...one.options.meteringProof, ageMs: () => 1001 };
    const verifier = new Verifier({ ...one.options, meteringProof });
    const { code } = await verifier.verify(callOf({ signed: sign(one, bot) }), one.provider);
    expect([code, asked]).toEqual(["INDETERMINATE", []]);
  });

  it("a request that its limits refuse, or that waits for units, asks no one before it has them", async () => {
    const { one, bot, asked } = deployment();
    const signed = sign(one, bot);
    const refused = { kind: "refused", bucket: { limit: { kind: "quota" } }, remaining: 0 };
    const lacking = { kind: "lacking", ask: {} };
    const acquired: number[] = [];
    const pool = one.options.pool as unknown as Record<"obstacle" | "acquire", () => unknown>;
    pool.obstacle = () => refused;
    for (let n = 0; n < 10; n++) expect(await one.code({ signed })).toBe("QUOTA_EXCEEDED");
    pool.obstacle = () => (acquired.length === 0 ? lacking : undefined);
    pool.acquire = async () => {
      acquired.push(asked.length);
      return { outcome: "GRANTED" };
    };
    expect(await one.code({ signed })).toBe("VALID");
    expect([acquired, asked.length]).toEqual([[0], 1]);
  });

  describe("that was turned on late", () => {
    /** Two replicas, and what happens to strict replay and to time at them. */
    function loose() {
      const { one, two, bot, asked } = deployment();
      const replicas = [one, two];
      const turn = (
        strictReplay: boolean,
        strictSinceMs?: number,
        which: readonly TestVerifier[] = replicas,
      ) => {
        for (const replica of which) {
          const { signing } = keyed(replica, bot).key;
          replica.changeKey(bot.id, { signing: { ...signing!, strictReplay, strictSinceMs } });
        }
      };
      const pass = (ms: number) => {
        for (const { now } of replicas) {
          now.wallMs += ms;
          now.monotonicMs += ms;
        }
      };
      turn(false);
      return { one, two, bot, asked, turn, pass };
    }

    it("what was admitted before is admitted nowhere again", async () => {
      const { one, two, bot, asked, turn, pass } = loose();
      const early = sign(one, bot);
      expect(await one.code({ signed: early })).toBe("VALID");
      pass(1000);
      turn(true, one.now.wallMs);
      pass(14_000);
      expect([await one.code({ signed: early }), await two.code({ signed: early })]).toEqual([
        "REPLAYED",
        "INDETERMINATE",
      ]);
      expect(asked).toEqual([]);
      const late = sign(one, bot);
      expect([await two.code({ signed: late }), await one.code({ signed: late })]).toEqual([
        "VALID",
        "REPLAYED",
      ]);
      // Negative control: where it is not known since when, the deployment is believed, which never heard of it.
      turn(true);
      expect(await two.code({ signed: early })).toBe("VALID");
    });

    it("what a replica admits that is cut off, and has not heard of it, is admitted nowhere again", async () => {
      const { one, two, bot, turn, pass } = loose();
      const cutAtMs = one.now.monotonicMs;
      const proof = {
        ...one.options.identityProof,
        ageMs: () => one.now.monotonicMs - cutAtMs,
        isOutOfReach: true,
      };
      const identityGate = new FreshnessGate(proof, { boundMs: 1000, stalenessMaxMs: 10_000 });
      Object.assign(one.options, { identityProof: proof, identityGate });
      pass(1);
      turn(true, two.now.wallMs, [two]);
      // For as long as that one may answer from what it knew.
      for (const ms of [4000, 5999]) {
        pass(ms);
        const signed = sign(one, bot);
        expect(await one.code({ signed })).toBe("VALID");
        expect(await two.code({ signed })).toBe("INDETERMINATE");
      }
      pass(1);
      expect(await one.code({ signed: sign(one, bot) })).toBe("INDETERMINATE");
      pass(3001);
      expect(await two.code({ signed: sign(two, bot) })).toBe("VALID");
    });
  });

  it("a deployment that cannot be asked leaves it undecided, and the request may be sent again", async () => {
    const { one, bot } = deployment();
    const { claimNonce } = one;
    one.claimNonce = async () => {
      throw new Error("unreachable");
    };
    const signed = sign(one, bot);
    expect(await one.code({ signed })).toBe("INDETERMINATE");
    one.claimNonce = claimNonce;
    expect(await one.code({ signed })).toBe("VALID");
  });

  it("the deployment remembers longer than any replica admits", async () => {
    const { one, bot } = deployment();
    const kept: number[] = [];
    one.claimNonce = async (_keyId, _nonce, expiresAtMs) => kept.push(expiresAtMs) > 0;
    const signed = sign(one, bot, { timestampMs: one.now.wallMs + WINDOW_MS });
    expect(await one.code({ signed })).toBe("VALID");
    expect(kept).toEqual([signed.timestampMs + WINDOW_MS + 60_000]);
  });
});
