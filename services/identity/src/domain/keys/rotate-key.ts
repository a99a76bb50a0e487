import type { Principal, VerificationKey } from "@gatehouse/access";
import { type KeyId, maskKey } from "@gatehouse/keys";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { gatesOf, reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findKey } from "../rules/find-in-reach.ts";
import { requireCovered } from "../rules/grant-rule.ts";
import { type Key, withoutEnded } from "./key.ts";
import { requireMayManage, requireNotAnothersPerson, requireNotFinal } from "./manage-key-rule.ts";
import { type ShownKey, showKey } from "./show-key.ts";
import { checkPublicKey, mintVerification } from "./signing.ts";

/** As the caller sent it; empty where it said nothing. */
export interface RotateKeyRequest {
  readonly key: string;
  readonly graceMs: number | undefined;
  readonly publicKey: string;
}

export interface RotatedKey {
  readonly shown: ShownKey;
  /** Empty for an Ed25519 key. */
  readonly secret: string;
  readonly freshness: string;
}

const MAX_GRACE_MS = 30 * 24 * 60 * 60 * 1000;
/** Each is compared with what callers present, and travels to every replica. */
export const MAX_IN_GRACE = 5;

/**
 * Gives a key a new credential. Its id stays, and with it its sub-keys, limits and history. What was valid before
 * works on for the grace; earlier ones keep the end that they were given, and without a grace all of them end now, and
 * with them the invitations that wait: whoever had the credential may have invited themselves.
 */
export function rotateKey(domain: Domain, actor: Principal, request: RotateKeyRequest): Promise<RotatedKey> {
  const { keyId, graceMs } = check(request);
  const attempt = { actor, action: "gatehouse.keys.rotate", target: keyId };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const target = await findKey(domain.store, actor, keyId);
    requireMayManage(actor, target.key);
    requireNotAnothersPerson(actor, target.parent ?? target.key);
    const publicKey = requirePublicKey(target.key, request.publicKey);
    const { value, freshness } = await domain.store.change(async (change) => {
      const [own, ...above] = gatesOf(target);
      await change.gate({ reliedOn: [...reliedOnBy(actor), ...above], changed: [own!] });
      const caller = await stillPermitted(domain, change, attempt, { chain: target.chain, what: "key" });
      const before = (await change.keys.find(keyId))!;
      requireNotFinal(before.key);
      requireNotClosed(before.chain);
      // The answer is a credential of the key: nobody gets one that could not have made the key.
      if (keyId !== caller.view.key.id) requireCovered(caller, before);
      const at = new Date(domain.nowMs());
      const until = { nowMs: at.getTime(), untilMs: at.getTime() + graceMs };
      const { key, secret } = rotated(domain, before.key, publicKey, until);
      const after = { ...before, key: { ...key, updatedAt: at } };
      requireFewInGrace(after.key);
      await change.keys.update(after.key);
      if (before.key.imported) await change.imported.retire(before.key.secretHashes, at);
      const audit = { target: keyId, account: before.chain[0], before: auditedKey(before.key) };
      const ended = graceMs === 0 && { revokedInvitations: await change.invitations.revokeOf(keyId, at) };
      const shownAfter = { ...(auditedKey(after.key) as object), ...ended };
      await change.audit(done(attempt, at, { ...audit, after: shownAfter }));
      return { shown: await showKey(change, after, at.getTime()), secret };
    });
    return { ...value, freshness };
  });
}

function check({ key, graceMs = 0 }: RotateKeyRequest): { keyId: string; graceMs: number } {
  const fields = new Fields();
  fields.reference("key", key, { required: true });
  if (!(graceMs >= 0 && graceMs <= MAX_GRACE_MS)) fields.wrong("grace", "must be 0 to 30 days");
  fields.check();
  return { keyId: key, graceMs };
}

/** Which key has one never changes, so it is known before anything is locked. */
function requirePublicKey({ signing }: Key, given: string): string {
  const fields = new Fields();
  const publicKey = checkPublicKey(fields, "public_key", given, signing?.algorithm);
  fields.check();
  return publicKey;
}

interface Until {
  readonly nowMs: number;
  /** When the credential so far ends; now, where there is no grace. */
  readonly untilMs: number;
}

function rotated(domain: Domain, before: Key, publicKey: string, { nowMs, untilMs }: Until) {
  // Without a grace the earlier ones end as well: whoever rotates because of a leak does not know which one it was.
  const kept = untilMs > nowMs ? withoutEnded(before, nowMs) : undefined;
  if (before.signing !== undefined) {
    const { algorithm } = before.signing;
    const { value, secret } = mintVerification(domain.sealer, before.id, { algorithm, publicKey });
    const earlier = kept?.signing?.keys.map((key) => ended(key, untilMs)) ?? [];
    const signing = { ...before.signing, keys: [{ value, untilMs: undefined }, ...earlier] };
    return { key: { ...before, signing }, secret };
  }
  const { presented, hash } = domain.format.mint(before.kind, before.id as KeyId);
  const retiring = before.secretHashes.map((valid) => ({ hash: valid, untilMs }));
  const retiringHashes = kept === undefined ? [] : [...retiring, ...kept.retiringHashes];
  // A key that was made elsewhere is one of ours from then on.
  const credential = { secretHashes: [hash], masked: maskKey(presented), imported: false };
  return { key: { ...before, ...credential, retiringHashes }, secret: presented };
}

function ended(key: VerificationKey, untilMs: number): VerificationKey {
  return key.untilMs === undefined ? { ...key, untilMs } : key;
}

function requireFewInGrace({ retiringHashes, signing }: Key): void {
  const inGrace = signing === undefined ? retiringHashes.length : signing.keys.length - 1;
  if (inGrace <= MAX_IN_GRACE) return;
  throw failedPrecondition(
    "IN_USE",
    `${MAX_IN_GRACE} earlier credentials are in their grace: wait, or rotate without one`,
  );
}
