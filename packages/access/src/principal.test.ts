import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import { Failure } from "@gatehouse/service/failure";
import { describe, expect, it, vi } from "vitest";
import { accountOf, keyOf, root, viewOf } from "../test/nodes.ts";
import type { KeyNode, KeyView } from "./node.ts";
import { authenticate, type Directory } from "./principal.ts";

const format = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
const minted = format.mint("ACCOUNT");
const nowMs = () => 1_000_000;

function known(key: Partial<KeyNode> = {}, view: Partial<KeyView> = {}): KeyView {
  return viewOf({ key: keyOf({ id: minted.keyId, secretHashes: [minted.hash], ...key }), ...view });
}

function directoryOf(...views: KeyView[]) {
  const find = (keyId: string) => views.find(({ key }) => key.id === keyId);
  return { findKey: vi.fn<Directory["findKey"]>(find) };
}

function refusal(presented: string, directory: Directory): Failure {
  try {
    authenticate(presented, format, directory, nowMs);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it was let in");
}

/** The same key with its last character another: the tag is wrong. */
function mistyped(presented: string): string {
  return presented.slice(0, -1) + (presented.endsWith("0") ? "1" : "0");
}

describe("authenticating", () => {
  it("answers who it is and what it may do", async () => {
    const view = known({ scopes: ["weather.read"] });
    const principal = await authenticate(minted.presented, format, directoryOf(view), nowMs);
    expect(principal.view).toBe(view);
    expect(principal.grant.allows("weather.read")).toBe(true);
    expect(principal.grant.allows("weather.write")).toBe(false);
    expect(principal.presentedHash).toBe(minted.hash);
  });

  it("waits for a directory that has to ask, and refuses the same way", async () => {
    const asking = (view: KeyView | undefined): Directory => ({ findKey: async () => view });
    const principal = await authenticate(minted.presented, format, asking(known()), nowMs);
    expect(principal.view.key.id).toBe(minted.keyId);
    const unknown = authenticate(minted.presented, format, asking(undefined), nowMs);
    await expect(unknown).rejects.toMatchObject({ reason: "CREDENTIAL_INVALID" });
  });

  it("refuses unknown, malformed, mistyped, outdated and revoked keys all the same", () => {
    const rotated = format.mint("ACCOUNT", minted.keyId);
    const failures = [
      refusal(minted.presented, directoryOf()),
      refusal("gth_acc_nonsense", directoryOf(known())),
      refusal("", directoryOf(known())),
      refusal(mistyped(minted.presented), directoryOf(known())),
      refusal(minted.presented, directoryOf(known({ secretHashes: [rotated.hash] }))),
      refusal(minted.presented, directoryOf(known({ secretHashes: [] }))),
      refusal(minted.presented, directoryOf(known({ status: "REVOKED" }))),
      refusal(minted.presented, directoryOf(known({}, { parent: keyOf({ status: "REVOKED" }) }))),
    ];
    const shown = failures.map(({ code, reason, message, metadata }) => ({
      code,
      reason,
      message,
      metadata,
    }));
    for (const failure of shown) expect(failure).toEqual(shown[0]);
    expect(shown[0]).toMatchObject({ code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" });
  });

  it("says why a living key does not work only to who holds its secret", () => {
    const suspended = { chain: [accountOf({ status: "SUSPENDED" }), root] };
    const closed = { chain: [accountOf({ status: "CLOSED" }), root] };
    const cases: [KeyView, string][] = [
      [known({ status: "DISABLED" }), "KEY_DISABLED"],
      [known({ notBeforeMs: nowMs() + 1 }), "KEY_NOT_YET_VALID"],
      [known({ expiresAtMs: nowMs() }), "KEY_EXPIRED"],
      [known({}, suspended), "ACCOUNT_SUSPENDED"],
      [known({}, closed), "ACCOUNT_CLOSED"],
    ];
    const guessed = format.mint("ACCOUNT", minted.keyId).presented;
    for (const [view, reason] of cases) {
      expect(refusal(minted.presented, directoryOf(view)).reason).toBe(reason);
      expect(refusal(guessed, directoryOf(view)).reason).toBe("CREDENTIAL_INVALID");
    }
  });

  it("takes either secret of a key that is being rotated", async () => {
    const rotated = format.mint("ACCOUNT", minted.keyId);
    const directory = directoryOf(known({ secretHashes: [rotated.hash, minted.hash] }));
    for (const { presented } of [minted, rotated]) {
      expect((await authenticate(presented, format, directory, nowMs)).view.key.id).toBe(minted.keyId);
    }
  });

  it("looks nothing up for mistyped and forged keys", () => {
    const forger = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
    const directory = directoryOf(known());
    for (const presented of [mistyped(minted.presented), forger.mint("ACCOUNT").presented, "x"]) {
      expect(refusal(presented, directory).reason).toBe("CREDENTIAL_INVALID");
    }
    expect(directory.findKey).not.toHaveBeenCalled();
  });

  it("compares the secret alone where the key is warm, and asks nobody", async () => {
    const authentic = vi.spyOn(format, "authentic");
    const directory = { ...directoryOf(), warm: () => known() };
    expect((await authenticate(minted.presented, format, directory, nowMs)).view.key.id).toBe(minted.keyId);
    expect(refusal(mistyped(minted.presented), directory).reason).toBe("CREDENTIAL_INVALID");
    expect(authentic).not.toHaveBeenCalled();
    expect(directory.findKey).not.toHaveBeenCalled();
    authentic.mockRestore();
  });

  it("checks the state of a warm key as of any other", () => {
    const directory = { ...directoryOf(), warm: () => known({ status: "DISABLED" }) };
    expect(refusal(minted.presented, directory).reason).toBe("KEY_DISABLED");
  });

  it("asks for a key that is not warm, its tag first", async () => {
    const directory = { ...directoryOf(known()), warm: () => undefined };
    await authenticate(minted.presented, format, directory, nowMs);
    expect(directory.findKey).toHaveBeenCalledTimes(1);
    expect(refusal(mistyped(minted.presented), directory).reason).toBe("CREDENTIAL_INVALID");
    expect(directory.findKey).toHaveBeenCalledTimes(1);
  });
});
