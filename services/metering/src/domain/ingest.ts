import { Failure, failedPrecondition } from "@gatehouse/service/failure";
import { type BucketDraw, bookSpend, type HeldLease, type LeaseAnomaly } from "./lease-spend.ts";
import type { Proof } from "./mirror.ts";
import type { HeldEstimate } from "./reservation.ts";
import { unheardIn } from "./unheard-request.ts";
import type { Batch, BatchReservation, LeaseSpend, ProducerEpoch } from "./usage.ts";
import { isWalletLease } from "./wallet-shelf.ts";

/** What an answered batch leaves behind. */
export interface Taken {
  readonly expectedSequence: number;
  readonly quarantined: number;
}

/** A batch that was taken before: its digest, unless it is older than what is remembered. */
export interface TakenBatch {
  readonly digest: Uint8Array | undefined;
  readonly quarantined: number;
}

/** What became of a batch's usage, in rows. */
export interface BookedUsage {
  /** Put aside. */
  readonly quarantined: number;
  /** Booked in rows that have come to the most that is counted: units are missing from them. */
  readonly full: number;
}

/** A reservation of a batch, with the buckets that it was taken of. */
export interface ArrivedReservation {
  readonly decisionId: string;
  readonly expiresAtMs: number;
  readonly held: HeldEstimate;
}

export interface IngestTx {
  /** Locks the epoch's row, made if missing; answers the sequence number that is next. */
  lockEpoch(epoch: ProducerEpoch): Promise<number>;
  taken(batch: Batch): Promise<TakenBatch>;
  /** Books the rows whose accounts and meters are known, puts the others aside. */
  bookUsage(batch: Batch): Promise<BookedUsage>;
  /** Notes that the epoch has ended, after every acquire of it that is under way; answers its open leases. */
  endEpoch(epoch: ProducerEpoch): Promise<readonly string[]>;
  /** The open leases of the holder whose ids end so. */
  leasesEnding(epoch: ProducerEpoch, endings: readonly string[]): Promise<readonly string[]>;
  /** The leases, with their buckets locked. Those that are not there are unknown. */
  lockLeases(leaseIds: readonly string[]): Promise<readonly HeldLease[]>;
  writeLeases(leases: readonly HeldLease[], draws: ReadonlyMap<string, BucketDraw>): Promise<void>;
  /** The same for leases of wallets, after those of quotas. */
  lockWalletLeases(leaseIds: readonly string[]): Promise<readonly HeldLease[]>;
  writeWalletLeases(leases: readonly HeldLease[], draws: ReadonlyMap<string, BucketDraw>): Promise<void>;
  /** Books what the batch spent, by wallet, in the ledger. Answers how many wallets are as low as can be counted. */
  postUsage(batch: Batch, spent: ReadonlyMap<string, number>): Promise<number>;
  hold(reservations: readonly ArrivedReservation[]): Promise<void>;
  /** Notes the batch as taken and wakes those who wait for units of these limits. */
  finish(batch: Batch, quarantined: number, freedLimitIds: readonly string[]): Promise<void>;
}

export interface IngestStore {
  /** Runs `work` in a transaction; it may run more than once. */
  transact<T>(work: (tx: IngestTx) => Promise<T>): Promise<T>;
  hasUnknown(accountIds: readonly string[], meters: readonly string[]): Promise<boolean>;
  register(epoch: ProducerEpoch): Promise<number>;
}

/** What an operator must hear of. */
export type Alarm = (what: Readonly<Record<string, unknown>>, message: string) => void;

export interface IngestDependencies {
  readonly store: IngestStore;
  readonly identity: Proof;
  readonly alarm: Alarm;
  /** Told of each batch that was taken, or had been before. */
  readonly onTaken?: ((rows: number, quarantined: number) => void) | undefined;
}

/**
 * Takes a batch in one transaction, if it is the next of its producer and epoch; the same batch again is
 * acknowledged without being booked again. Each epoch counts for itself, so that what a crashed one left on its
 * disk can still be shipped after the next has begun.
 *
 * Throws Failure FAILED_PRECONDITION (SEQUENCE_GAP) and DATA_LOSS (DIGEST_MISMATCH).
 */
export async function ingestBatch(
  { store, identity, alarm, onTaken }: IngestDependencies,
  batch: Batch,
): Promise<Taken> {
  // An account or a meter made a moment ago is seldom unknown for longer than this; what still is, waits in quarantine.
  const accountIds = new Set(batch.usage.map(({ accountId }) => accountId));
  accountIds.delete("");
  const meters = new Set(batch.usage.map(({ meter }) => meter));
  if (await store.hasUnknown([...accountIds], [...meters])) await identity.prove().catch(() => {});
  const { taken, anomalies, full, unposted } = await store.transact((tx) => take(tx, batch));
  for (const anomaly of anomalies) {
    alarm({ ...anomaly, ...nameOf(batch) }, "a batch speaks of a lease as it is not");
  }
  if (full > 0) alarm({ rows: full, ...nameOf(batch) }, "usage is beyond what can be counted");
  if (unposted > 0) alarm({ wallets: unposted, ...nameOf(batch) }, "a balance is beyond what can be counted");
  if ("mismatch" in taken) {
    alarm(nameOf(batch), "two batches under one number: usage may be lost or counted twice");
    throw new Failure({
      code: "DATA_LOSS",
      reason: "DIGEST_MISMATCH",
      message: "another batch was taken under this number",
    });
  }
  onTaken?.(batch.usage.length, taken.quarantined);
  return taken;
}

async function take(tx: IngestTx, batch: Batch) {
  const expected = await tx.lockEpoch(batch);
  if (batch.sequence > expected) throw gap(expected);
  if (batch.sequence < expected) {
    const { digest, quarantined } = await tx.taken(batch);
    const same = digest === undefined || Buffer.compare(digest, batch.digest) === 0;
    return {
      taken: same ? { expectedSequence: expected, quarantined } : { mismatch: true },
      anomalies: [],
      full: 0,
      unposted: 0,
    };
  }
  const { endings, named } = unheardIn(batch.leases);
  const unheard = endings.length === 0 ? [] : await tx.leasesEnding(batch, endings);
  const closed = batch.final ? await tx.endEpoch(batch) : unheard;
  const spends = [...named, ...closed.map(closeOf)];
  const { anomalies, freed, leases, unposted } = await bookLeases(tx, batch, spends);
  await tx.hold(batch.reservations.map((reservation) => arrived(reservation, leases)));
  const { quarantined, full } = await tx.bookUsage(batch);
  await tx.finish(batch, quarantined, freed);
  return { taken: { expectedSequence: expected + 1, quarantined }, anomalies, full, unposted };
}

/** Of a lease that its epoch, which may be over, never heard of: the answer was lost. */
function closeOf(leaseId: string): LeaseSpend {
  return { leaseId, spent: 0, closed: true };
}

async function bookLeases(tx: IngestTx, batch: Batch, spends: readonly LeaseSpend[]) {
  const [ofWallets, ofQuotas] = partition(spends, ({ leaseId }) => isWalletLease(leaseId));
  const quotas = booked(ofQuotas, await locked(ofQuotas, (ids) => tx.lockLeases(ids)));
  if (quotas.leases.size > 0) await tx.writeLeases([...quotas.leases.values()], quotas.draws);
  const wallets = booked(ofWallets, await locked(ofWallets, (ids) => tx.lockWalletLeases(ids)));
  let unposted = 0;
  if (wallets.leases.size > 0) {
    await tx.writeWalletLeases([...wallets.leases.values()], wallets.draws);
    const spent = wallets.draws.entries().map(([walletId, draw]) => [walletId, draw.spent] as const);
    unposted = await tx.postUsage(batch, new Map(spent));
  }
  return {
    anomalies: [...quotas.anomalies, ...wallets.anomalies],
    freed: [...quotas.freed, ...wallets.freed],
    leases: new Map([...quotas.leases, ...wallets.leases]),
    unposted,
  };
}

async function locked(
  spends: readonly LeaseSpend[],
  lock: (leaseIds: readonly string[]) => Promise<readonly HeldLease[]>,
): Promise<readonly HeldLease[]> {
  return spends.length === 0 ? [] : lock([...new Set(spends.map(({ leaseId }) => leaseId))]);
}

/** The leases as the spends leave them, and what that changes in their buckets. */
function booked(spends: readonly LeaseSpend[], rows: readonly HeldLease[]) {
  const anomalies: LeaseAnomaly[] = [];
  const freed = new Set<string>();
  const leases = new Map(rows.map((lease) => [lease.id, lease]));
  const draws = new Map<string, BucketDraw>();
  for (const spend of spends) {
    const lease = leases.get(spend.leaseId);
    if (lease === undefined) {
      // Nothing spent is nothing lost: a holder closes what it could not place, not knowing its kind.
      if (spend.spent > 0) anomalies.push({ leaseId: spend.leaseId, anomaly: "UNKNOWN", units: spend.spent });
      continue;
    }
    const booked = bookSpend(lease, spend);
    leases.set(lease.id, booked.lease);
    const { spent, leased } = draws.get(lease.bucketId) ?? { spent: 0, leased: 0 };
    draws.set(lease.bucketId, { spent: spent + booked.draw.spent, leased: leased + booked.draw.leased });
    if (booked.returned > 0) freed.add(lease.limitId);
    if (booked.anomaly !== undefined) anomalies.push(booked.anomaly);
  }
  return { anomalies, freed, leases, draws };
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}

// What it took of a lease is in the same batch, so the lease is at hand; one that metering does not know has no bucket.
function arrived(
  { decisionId, expiresAtMs, draws, ...held }: BatchReservation,
  leases: ReadonlyMap<string, HeldLease>,
): ArrivedReservation {
  const known = draws.flatMap(({ leaseId, units }) => {
    const lease = leases.get(leaseId);
    return lease === undefined ? [] : [{ lease, units }];
  });
  const [ofWallets, ofQuotas] = partition(known, ({ lease }) => isWalletLease(lease.id));
  const drawn = ofQuotas.map(({ lease: { bucketId, limitId }, units }) => ({ bucketId, limitId, units }));
  const walletIds = [...new Set(ofWallets.map(({ lease }) => lease.bucketId))];
  return { decisionId, expiresAtMs, held: { ...held, draws: drawn, walletIds } };
}

function gap(expected: number): Failure {
  const metadata = { expected_sequence: String(expected) };
  return failedPrecondition("SEQUENCE_GAP", `the next batch is number ${expected}`, metadata);
}

function nameOf({ producer, epoch, sequence }: Batch) {
  return { producer, epoch: String(epoch), sequence };
}
