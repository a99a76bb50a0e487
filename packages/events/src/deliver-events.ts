import { SealError, type Sealer } from "@gatehouse/keys";
import { type Log, runLoop } from "@gatehouse/service";
import type { DataSource } from "typeorm";
import { DeliveryPump } from "./delivery-pump.ts";
import { type ClaimedDelivery, DeliveryStore } from "./delivery-store.ts";
import { type Outcome, post } from "./post.ts";
import { signatureOf } from "./signature.ts";
import { secretContext } from "./webhook.ts";

/** What another replica wrote, and what is tried again, is noticed within this. */
const CLAIM_EVERY_MS = 1000;
const SWEEP_EVERY_MS = 60_000;

export interface EventDeliveryOptions {
  readonly dataSource: DataSource;
  readonly sealer: Sealer;
  readonly insecure: boolean;
  readonly nowMs: () => number;
  readonly log: Log;
  /** Attempts, by what came of them. */
  readonly counts: { taken: number; failed: number };
}

/** Brings events to webhooks until it is stopped. */
export interface EventDelivery {
  /** There are new ones. */
  poke(): void;
  stop(): Promise<void>;
}

export function deliverEvents({
  dataSource,
  sealer,
  insecure,
  nowMs,
  log,
  counts,
}: EventDeliveryOptions): EventDelivery {
  const deliveries = new DeliveryStore(dataSource, nowMs);
  const pump = new DeliveryPump<ClaimedDelivery>({
    deliveries,
    send: async (delivery, signal) => {
      const outcome = await send(delivery, signal);
      counts[outcome.taken ? "taken" : "failed"]++;
      return outcome;
    },
    onSettled: () => delivering.poke(),
    onError: (error) => log.warn({ err: error }, "what came of a delivery could not be written down"),
  });
  const delivering = runLoop({
    name: "deliver events",
    everyMs: CLAIM_EVERY_MS,
    backoff: { minMs: CLAIM_EVERY_MS, maxMs: 30_000 },
    run: () => pump.fill(),
    log,
  });
  const sweeping = runLoop({
    name: "sweep deliveries",
    everyMs: SWEEP_EVERY_MS,
    backoff: { minMs: SWEEP_EVERY_MS, maxMs: SWEEP_EVERY_MS },
    run: () => deliveries.sweep(),
    log,
  });

  async function send(delivery: ClaimedDelivery, signal: AbortSignal): Promise<Outcome> {
    const { url, body, type, eventId } = delivery;
    const secret = secretOf(delivery);
    if (secret === undefined) return { taken: false, final: false, error: "the secret cannot be opened" };
    const headers = {
      "gatehouse-signature": signatureOf(body, secret, Math.floor(nowMs() / 1000)),
      "gatehouse-event": type,
      "gatehouse-delivery": eventId,
    };
    return post({ url, body, headers, insecure, signal });
  }

  /** Undefined where its key-encryption key is not configured: the delivery waits for it. */
  function secretOf({ sealedSecret, accountId, name }: ClaimedDelivery): string | undefined {
    try {
      return sealer.open(sealedSecret, secretContext({ accountId, name }));
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      log.warn({ err: error, accountId, webhook: name }, "the secret of a webhook cannot be opened");
      return undefined;
    }
  }

  return {
    poke: () => delivering.poke(),
    async stop() {
      await Promise.all([delivering.stop(), sweeping.stop()]);
      await pump.stop();
    },
  };
}
