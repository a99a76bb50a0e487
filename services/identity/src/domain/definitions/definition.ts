import type { QuotaAllowance, RateAllowance } from "@gatehouse/buckets";

/*
 * What accounts lay down by name: roles, and on the root what the provider lays down for everybody. They are few, are
 * read as a whole and changed rarely, so all kinds are kept, bounded, audited and told of in one way.
 */

/** What there is, by kind. Account types, terms and roles decide calls; they reach followers with their account. */
export interface DefinitionBodies {
  readonly role: { readonly title: string; readonly scopes: readonly string[] };
  readonly plan: Plan;
  readonly api: Api;
  readonly type: {
    readonly title: string;
    /** Any account may be of it. */
    readonly open: boolean;
    readonly scopeCeiling: readonly string[];
  };
  readonly meter: { readonly title: string; readonly unit: string };
  readonly integration: { readonly title: string; readonly deniedToSubKeys: boolean };
  /** Named after the document. */
  readonly terms: {
    readonly version: string;
    readonly title: string;
    readonly url: string;
    /** Scopes: what is closed until the version is accepted; none for everything. */
    readonly gates: readonly string[];
  };
}

export type DefinitionKind = keyof DefinitionBodies;

export interface Definition<K extends DefinitionKind> {
  readonly kind: K;
  /** The account that lays it down: the root for all kinds but roles. */
  readonly accountId: string;
  readonly name: string;
  /** `rol_…` and `pln_…`; empty for the kinds that have only names. */
  readonly id: string;
  readonly body: DefinitionBodies[K];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What an organization bought. Only enabled keys count. The root has no plan and no bounds. */
export interface Plan {
  readonly title: string;
  /** Levels of accounts below the organization. */
  readonly depth: number;
  /** Accounts below the organization, closed ones not counted. */
  readonly accounts: number;
  /** Master and account keys of one account. */
  readonly keysPerAccount: number;
  /** Sub-keys of one account, over all its keys. */
  readonly subKeysPerAccount: number;
  readonly features: readonly PlanFeature[];
  /** Of each of its organizations. metering keeps what is used of them. */
  readonly defaultLimits: readonly DefaultLimit[];
}

/** A limit that comes with a plan. */
export interface DefaultLimit {
  readonly meter: string;
  /** A pattern; empty counts every call. */
  readonly resource: string;
  readonly allowance: RateAllowance | QuotaAllowance;
  readonly enforcement: "ENFORCE" | "WARN";
}

export const PLAN_FEATURES = ["SCOPING", "SUB_KEYS", "SIGNING"] as const;
export type PlanFeature = (typeof PLAN_FEATURES)[number];

/** An API of the catalog. Names of endpoints and features are unique over all APIs. */
export interface Api {
  readonly title: string;
  readonly endpoints: readonly Endpoint[];
  readonly features: readonly ApiFeature[];
}

export interface Endpoint {
  readonly name: string;
  readonly title: string;
  /** In capitals, or `*`. */
  readonly method: string;
  /** Segments, `{name}` for one, a final `{name=**}` for the rest. */
  readonly path: string;
  readonly resource: string;
}

export interface ApiFeature {
  readonly name: string;
  readonly title: string;
  readonly resource: string;
}
