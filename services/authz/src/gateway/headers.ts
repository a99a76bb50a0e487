import { SIGNED_HEADERS } from "@gatehouse/keys";

/** The headers between callers, gateways, authz and backends; lower-cased. */

/** Whose account a master key acts on, as the caller says. */
export const ACCOUNT_HEADER = SIGNED_HEADERS.account;
/** The gateway's own credential, where `authorization` is the caller's. */
export const VERIFIER_HEADER = "gatehouse-verifier";
/** The status of an answer, for gateways that show only some of them. */
export const STATUS_HEADER = "gatehouse-status";
/** The body of an answer, for gateways that drop it. */
export const PROBLEM_HEADER = "gatehouse-problem";

export const FORWARDED_FOR = "x-forwarded-for";
export const API_KEY_HEADER = "x-api-key";

/** The hash that a signed request states of its body. It stays on the call: the backend, who has the body, compares. */
export const CONTENT_HASH_HEADER = SIGNED_HEADERS.contentSha256;

/** Who calls, as the backend is told. Whatever of these the answer does not set is taken off the call. */
export const IDENTITY_HEADERS = [
  "gatehouse-key-id",
  "gatehouse-key-kind",
  "gatehouse-account-id",
  "gatehouse-account-slug",
  "gatehouse-organization-id",
  "gatehouse-decision-id",
  CONTENT_HASH_HEADER,
] as const;
export type IdentityHeader = (typeof IDENTITY_HEADERS)[number];

/** What is for authz, or from it, and for no backend. */
export const CONSUMED_HEADERS: readonly string[] = [
  API_KEY_HEADER,
  ACCOUNT_HEADER,
  VERIFIER_HEADER,
  STATUS_HEADER,
  PROBLEM_HEADER,
  SIGNED_HEADERS.key,
  SIGNED_HEADERS.algorithm,
  SIGNED_HEADERS.timestamp,
  SIGNED_HEADERS.nonce,
  SIGNED_HEADERS.signature,
];
