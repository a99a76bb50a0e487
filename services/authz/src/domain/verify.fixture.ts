import { type AccountNode, type ApiNode, type KeyKind, type KeyNode, MissBudget } from "@gatehouse/access";
import {
  KeyFormat,
  newEncryptionKey,
  newPepper,
  parseEncryptionKey,
  parsePepper,
  ReservedDecisionIds,
  Sealer,
} from "@gatehouse/keys";
import { Activity } from "./activity.ts";
import { CatalogBook } from "./catalog-book.ts";
import type { Decision } from "./decision.ts";
import type { DecisionCounts } from "./decisions.ts";
import type { KeyEntry } from "./entry.ts";
import { FreshnessGate } from "./freshness-gate.ts";
import { FakeIdentity } from "./identity.fixture.ts";
import { IdentityCache } from "./identity-cache.ts";
import { IdentityReader } from "./identity-reader.ts";
import { IdentityReplica } from "./identity-replica.ts";
import type { ReservationRecord } from "./journal.ts";
import type { LeasePool } from "./lease-pool.ts";
import { MeterBook } from "./meter-book.ts";
import { NonceSet } from "./nonce-set.ts";
import { SealedValues } from "./sealed-values.ts";
import { type ClaimNonce, Signatures } from "./signatures.ts";
import { UpstreamHeaders } from "./upstream-header.ts";
import { Verifier, type VerifierOptions } from "./verify.ts";
import type { VerifyCall } from "./verify-call.ts";

/** How old signed requests may be. */
const WINDOW_MS = 30_000;

/** A verifier over an identity in the test's hands, always fresh, that charges everything and counts it. */
export class TestVerifier {
  readonly identity = new FakeIdentity();
  readonly format = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
  readonly now = { wallMs: 1_800_000_000_000, monotonicMs: 0 };
  /** Of the catalog, by name. */
  readonly apis = new Map<string, ApiNode>();
  readonly reported: ReadonlyMap<string, number>[] = [];
  /** Denials as the journal got them: code and resource. */
  readonly denials: (readonly [code: string, resource: string])[] = [];
  readonly cache = new IdentityCache({
    capacity: 100,
    lifetimeMs: 60_000,
    nowMs: () => this.now.wallMs,
  });
  /** Reservations as the journal got them. */
  readonly reserved: ReservationRecord<object>[] = [];
  readonly reservedIds = new ReservedDecisionIds("a service secret of thirty-two characters");
  readonly activity = new Activity(async (uses) => void this.reported.push(uses));
  readonly #catalog = new CatalogBook(async () => ({ position: this.identity.position, items: this.apis }));
  readonly #replica = new IdentityReplica(
    this.cache,
    new MeterBook(async () => ({ position: this.identity.position, items: new Map() })),
    this.#catalog,
  );
  /** What it decides with, for others that are to decide from the same. */
  readonly options: VerifierOptions;
  readonly #verifier: Verifier;
  /** The provider's, who sees everything. */
  readonly provider = { key: this.identity.keyOf({ accountId: "acc_root" }), parent: undefined, chain: [] };
  /** Opens what it sealed. */
  readonly sealer = new Sealer([parseEncryptionKey(newEncryptionKey("1"))]);
  readonly unopened: string[] = [];
  readonly nonces = new NonceSet({
    windowMs: WINDOW_MS,
    mark: { valueMs: 0, raise: () => {} },
    keyMarks: { atStart: new Map(), raise: () => {} },
    heardWithinMs: 11_000,
    since: { wallMs: this.now.wallMs - 3_600_000, monotonicMs: -3_600_000 },
  });
  /** What the deployment says of a nonce; each is free. */
  claimNonce: ClaimNonce = async () => true;
  charged = 0;
  /** Questions for imported keys. */
  hashReads = 0;

  constructor() {
    const { identity, cache, now } = this;
    const reader = new IdentityReader(
      {
        resolveKeys: async (ids) => identity.resolveKeys(ids),
        resolveHashes: async (hashes) => {
          this.hashReads++;
          return identity.resolveHashes(hashes);
        },
        resolveTarget: async (organizationId, name) => identity.resolveTarget(organizationId, name),
      },
      cache,
      new MissBudget({ perSecond: 10, burst: 5 }, () => now.monotonicMs),
    );
    const sealed = new SealedValues(this.sealer, (id) => void this.unopened.push(id));
    const proof = {
      ageMs: () => 0,
      prove: async () => {},
      provenProof: 1,
      isOutOfReach: false,
      get position() {
        return cache.position();
      },
    };
    const pool = {
      charge: () => {
        this.charged++;
        return { kind: "charged", binding: undefined, warnings: [], spends: [] };
      },
      obstacle: () => undefined,
    };
    this.options = {
      format: this.format,
      cache,
      identity: reader,
      catalog: this.#catalog,
      activity: this.activity,
      identityProof: proof,
      identityGate: new FreshnessGate(proof, { boundMs: 1000, stalenessMaxMs: 1000 }),
      meteringProof: proof,
      limitsStalenessMaxMs: 1000,
      pool: pool as unknown as LeasePool,
      journal: {
        series: ({ resource, outcome }) => [outcome, resource] as const,
        lease: () => ({}),
        granted: () => {},
        charge: () => {},
        spend: () => {},
        reserve: (record) => void this.reserved.push(record),
        close: () => {},
        denied: (series) => void this.denials.push(series as readonly [string, string]),
        whenWritten: (callback) => callback(),
      },
      reservedIds: this.reservedIds,
      signatures: new Signatures({
        nonces: this.nonces,
        sealed,
        windowMs: WINDOW_MS,
        claimNonce: (...nonce) => this.claimNonce(...nonce),
        onNoRoom: () => {},
      }),
      upstream: new UpstreamHeaders(sealed),
      clock: { now: () => now },
    };
    this.#verifier = new Verifier(this.options);
    this.#replica.restart(identity.position);
  }

  /** Mints a key of `accountId`; by default it may do everything. */
  key(accountId: string, node: Partial<KeyNode> = {}): { readonly id: string; readonly presented: string } {
    const kind: KeyKind = node.kind ?? "ACCOUNT";
    const { keyId, presented, hash } = this.format.mint(kind);
    this.identity.putKey(keyId, { accountId, kind, secretHashes: [hash], ...node });
    this.follow();
    return { id: keyId, presented };
  }

  account(id: string, node: Partial<AccountNode> = {}): void {
    this.identity.putAccount(id, node);
    this.follow();
  }

  changeKey(id: string, node: Partial<KeyNode>): void {
    this.identity.putKey(id, node);
    this.follow();
  }

  /** An API as it is from now on; undefined: gone. */
  api(name: string, node: ApiNode | undefined): void {
    if (node === undefined) this.apis.delete(name);
    else this.apis.set(name, node);
    this.identity.log.push({ revision: this.identity.log.length + 1, api: { name, node } });
    this.follow();
  }

  /** Applies what identity's log has. */
  follow(): void {
    const at = this.cache.position()!;
    const changes = this.identity.changesAfter(at.revision);
    if (changes.length > 0) this.#replica.apply(at, changes);
  }

  async verify(call: Partial<VerifyCall>, verifier: Parameters<Verifier["verify"]>[1] = this.provider) {
    return (await this.#verifier.verify(callOf(call), verifier)) satisfies Decision;
  }

  get counts(): DecisionCounts {
    return this.#verifier.counts;
  }

  async code(call: Partial<VerifyCall>, verifier?: Parameters<Verifier["verify"]>[1]): Promise<string> {
    return (await this.verify(call, verifier)).code;
  }
}

/** The entry of a key, which is read into the cache. */
export function keyed({ cache, identity }: TestVerifier, { id }: { readonly id: string }): KeyEntry {
  cache.fillKey(id, identity.resolveKeys([id]));
  return cache.key(id)!;
}

/** A call of one request that wants nothing, but for what is said. */
export function callOf(call: Partial<VerifyCall>): VerifyCall {
  return {
    presented: "",
    signed: undefined,
    resource: "",
    http: undefined,
    address: undefined,
    integration: "",
    account: "",
    needs: [{ meter: "requests", units: 1 }],
    reserveTtlMs: undefined,
    atLeastAsFresh: [],
    at: "",
    ...call,
  };
}
