import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, Disposables } from "@gatehouse/service";
import { expect, test } from "vitest";
import { sign, signer } from "../domain/signing.fixture.ts";
import { keyed, TestVerifier } from "../domain/verify.fixture.ts";
import { openSigning } from "./open-signing.ts";

function opened(directory: string | undefined) {
  const lines: string[] = [];
  const log = createLog({ name: "authz", level: "info", destination: { write: (line) => lines.push(line) } });
  const now = { wallMs: 1_800_000_000_000, monotonicMs: 0 };
  const disposables = new Disposables(log);
  const signing = openSigning({
    config: {
      encryptionKeys: undefined,
      signatureWindowMs: 30_000,
      freshness: { boundMs: 1000, stalenessMaxMs: 20_000 },
    },
    marksIn: directory,
    claimNonce: async () => true,
    clock: { now: () => now },
    log,
    opened: disposables,
  });
  return { ...signing, lines, now, close: () => disposables.close() };
}

test("without encryption keys HMACs are undecided, Ed25519 is not, and the log says so now and then", async () => {
  const { signatures, lines, now, close } = opened(undefined);
  const deployment = new TestVerifier();
  const codes = (algorithm: "HMAC_SHA256" | "ED25519", n: number) =>
    Array.from({ length: n }, () => {
      const bot = signer(deployment, "acc_org", algorithm);
      const entry = keyed(deployment, bot);
      const signed = { ...sign(deployment, bot), timestampMs: now.wallMs + 1 };
      return signatures.faultOf(entry, entry.key.signing!, { ...signed, disagreement: undefined }, now)?.code;
    });
  expect(codes("HMAC_SHA256", 20)).toEqual(Array(20).fill("INDETERMINATE"));
  expect(codes("ED25519", 1)).toEqual([undefined]);
  expect(lines).toHaveLength(1);
  now.monotonicMs += 10_000;
  codes("HMAC_SHA256", 1);
  expect(lines).toHaveLength(2);
  expect(JSON.parse(lines[1]!)).toMatchObject({ why: "no encryption keys are configured", times: 20 });
  await close();
});

test("what was signed while a replica may not have heard of strict replay is not known", async () => {
  const { nonces, now, close } = opened(undefined);
  const strict = { strictReplay: true, strictSinceMs: now.wallMs };
  const stateAt = (ms: number) => {
    const at = { wallMs: now.wallMs + ms, monotonicMs: ms };
    const use = { keyId: "key_1", organizationId: "acc_org", nonce: "12345678", timestampMs: at.wallMs };
    return nonces.stateOf(use, strict, at);
  };
  // staleness_max, the bound, and what clocks may be apart.
  expect([stateAt(23_000), stateAt(23_001)]).toEqual(["unknown", "unseen"]);
  await close();
});

test("without a directory the process that comes after knows its start, and nothing of clients ahead of it", async () => {
  const first = opened(undefined);
  const loose = { strictReplay: false, strictSinceMs: undefined };
  const use = { keyId: "key_1", organizationId: "acc_org", nonce: "12345678", timestampMs: first.now.wallMs };
  const ahead = { ...use, timestampMs: first.now.wallMs + 1 };
  expect(first.nonces.prepare(ahead, first.now)).toBe(true);
  first.nonces.take(ahead, first.now);
  const second = opened(undefined);
  const states = [use, ahead].map((each) => second.nonces.stateOf(each, loose, second.now));
  expect(states).toEqual(["unknown", "unseen"]);
  await Promise.all([first.close(), second.close()]);
});

test("what was admitted is not known to the process that comes after, as long as the directory lives", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-signing-"));
  const first = opened(directory);
  const loose = { strictReplay: false, strictSinceMs: undefined };
  const use = {
    keyId: "key_00000000000000000001",
    organizationId: "acc_org",
    nonce: "12345678",
    timestampMs: first.now.wallMs + 20_000,
  };
  const other = { ...use, keyId: "key_00000000000000000002", timestampMs: first.now.wallMs + 10_000 };
  expect(first.nonces.stateOf(use, loose, first.now)).toBe("unseen");
  expect(first.nonces.prepare(use, first.now)).toBe(true);
  first.nonces.take(use, first.now);
  // As after a crash: the first is not closed.
  const second = opened(directory);
  expect(second.nonces.stateOf(use, loose, second.now)).toBe("unknown");
  expect(second.nonces.stateOf(other, loose, second.now)).toBe("unseen");
  await first.close();
  for (const timestampMs of [first.now.wallMs + 1, use.timestampMs + 1]) {
    expect(first.nonces.prepare({ ...use, timestampMs }, first.now)).toBe(false);
  }
  await second.close();
});
