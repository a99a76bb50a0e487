import { join } from "node:path";
import type { Clock } from "@gatehouse/changefeed";
import { Sealer } from "@gatehouse/keys";
import { type Disposables, type Log, seldom } from "@gatehouse/service";
import type { AuthzConfig } from "../config.ts";
import { NonceSet, type NonceSetOptions } from "../domain/nonce-set.ts";
import { SealedValues } from "../domain/sealed-values.ts";
import { type ClaimNonce, Signatures } from "../domain/signatures.ts";
import { UpstreamHeaders } from "../domain/upstream-header.ts";
import { AheadFile } from "../spool/ahead-file.ts";
import { MarkFile } from "../spool/mark-file.ts";

export interface SigningOptions {
  readonly config: Pick<AuthzConfig, "encryptionKeys" | "signatureWindowMs" | "freshness">;
  /** Where this replica, and no other, keeps its marks: with its spool. Undefined where it keeps no files. */
  readonly marksIn: string | undefined;
  readonly claimNonce: ClaimNonce;
  readonly clock: Clock;
  readonly log: Log;
  readonly opened: Disposables;
}

const FORGET_MS = 10_000;

/** What is sealed and signed. After the spool is open, since its directory is held by then. */
export function openSigning({ config, marksIn, claimNonce, clock, log, opened }: SigningOptions) {
  const { encryptionKeys, signatureWindowMs: windowMs, freshness } = config;
  const nowMs = () => clock.now().monotonicMs;
  const sealer = encryptionKeys && new Sealer(encryptionKeys);
  const logSealed = seldom(
    ({ id, why }: { id: string; why: string }, times) =>
      log.error({ id, why, times }, "a sealed value cannot be opened: its calls are INDETERMINATE"),
    nowMs,
  );
  const sealed = new SealedValues(sealer, (id, why) => logSealed({ id, why }));
  const marks = marksIn === undefined ? inMemory() : openMarks(marksIn, clock, opened);
  // Cut off, a replica answers for so long from what it knew; and what identity commits is dated a moment before, which
  // the bound has room for.
  const heardWithinMs = freshness.stalenessMaxMs + freshness.boundMs;
  const nonces = new NonceSet({ windowMs, ...marks, heardWithinMs, since: clock.now() });
  const forgetting = setInterval(() => nonces.forget(clock.now()), FORGET_MS);
  opened.add("forgetting nonces", async () => clearInterval(forgetting));
  const onNoRoom = seldom(
    (keyId: string, times) =>
      log.error(
        { keyId, times, nonces: nonces.size },
        "no room for a nonce, or no way to write its mark: signed calls are INDETERMINATE",
      ),
    nowMs,
  );
  const signatures = new Signatures({ nonces, sealed, windowMs, claimNonce, onNoRoom });
  return { signatures, nonces, upstream: new UpstreamHeaders(sealed) };
}

type Marks = Pick<NonceSetOptions, "mark" | "keyMarks">;

function openMarks(directory: string, clock: Clock, opened: Disposables): Marks {
  const mark = MarkFile.open(join(directory, "signed-until"));
  opened.add("mark of signed requests", async () => mark.close());
  const keyMarks = AheadFile.open(join(directory, "signed-ahead"), () => clock.now().wallMs);
  opened.add("marks of keys that sign ahead", async () => keyMarks.close());
  return { mark, keyMarks };
}

// What was signed before the start is not admitted all the same; what a client had signed that was ahead of it may be.
function inMemory(): Marks {
  return { mark: { valueMs: 0, raise: () => {} }, keyMarks: { atStart: new Map(), raise: () => {} } };
}
