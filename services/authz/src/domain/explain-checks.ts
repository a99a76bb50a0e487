import { AddressList, isAddressBound, type KeyNode, termsRequired } from "@gatehouse/access";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import { allowedBy, deniedBy, type Finding, type ScopeQuestion } from "./explain-scope.ts";
import type { CheckCode } from "./explanation.ts";
import type { VerifyCall } from "./verify-call.ts";

/** A call whose key was found and is in the verifier's sight, with all that its checks look at. */
export interface Examined extends ScopeQuestion {
  readonly call: VerifyCall;
  readonly entry: KeyEntry;
  /** The accounts that the call acts on; the key's own where that is not known. */
  readonly target: readonly AccountEntry[];
  readonly nowMs: number;
}

/** One check, in words. What is asked about was decided before: these look for the reason, they do not decide. */
export interface CheckWords {
  /** Why there is nothing to check; undefined where there is. */
  readonly absent?: (examined: Examined) => string | undefined;
  readonly passed: (examined: Examined) => Finding;
  readonly failed: (examined: Examined) => Finding;
}

/** Of a list that goes into a detail; a person looks the rest up where the list is. */
const MAX_NAMED = 5;

export const checkWords: Readonly<Record<CheckCode, CheckWords>> = {
  NOT_FOUND: {
    passed: ({ entry, sight }) => ({
      nodeId: entry.key.id,
      detail: `${sight.nameOf(entry.key.id)} of ${sight.nameOf(entry.key.accountId)}`,
    }),
    failed: ({ entry }) => ({ nodeId: entry.key.id, detail: "the key is not to be found" }),
  },
  SIGNATURE_INVALID: {
    absent: ({ call }) => (call.signed === undefined ? PRESENTED : undefined),
    passed: ({ entry, call }) => ({
      nodeId: entry.key.id,
      detail: `signed by ${entry.key.signing?.algorithm} at ${timeOf(call.signed?.timestampMs)}`,
    }),
    failed: brokenSignature,
  },
  REPLAYED: {
    absent: ({ call }) => (call.signed === undefined ? PRESENTED : undefined),
    passed: ({ entry }) => ({
      nodeId: entry.key.id,
      detail: entry.key.signing?.strictReplay
        ? "not admitted before at this replica; the others are asked when a call is admitted"
        : "not admitted before at this replica",
    }),
    failed: ofKey("this request was admitted before"),
  },
  DISABLED: {
    passed: ofKey("enabled, as is its parent key where it has one"),
    failed: (examined) =>
      ofFirst(
        examined,
        ({ status }) => status === "DISABLED",
        () => "is disabled",
      ),
  },
  NOT_YET_VALID: {
    absent: ({ entry }) =>
      keysOf(entry).every(({ notBeforeMs }) => notBeforeMs === undefined)
        ? "valid from the start"
        : undefined,
    passed: (examined) => ofBinding(examined, ({ notBeforeMs }) => notBeforeMs, "is valid since"),
    failed: (examined) =>
      ofFirst(
        examined,
        ({ notBeforeMs }) => notBeforeMs !== undefined && examined.nowMs < notBeforeMs,
        ({ notBeforeMs }) => `is not valid before ${timeOf(notBeforeMs)}`,
      ),
  },
  EXPIRED: {
    absent: ({ entry }) =>
      keysOf(entry).every(({ expiresAtMs }) => expiresAtMs === undefined) ? "it does not expire" : undefined,
    passed: (examined) => ofBinding(examined, ({ expiresAtMs }) => expiresAtMs, "is valid until", -1),
    failed: (examined) =>
      ofFirst(
        examined,
        ({ expiresAtMs }) => expiresAtMs !== undefined && examined.nowMs >= expiresAtMs,
        ({ expiresAtMs }) => `expired at ${timeOf(expiresAtMs)}`,
      ),
  },
  ACCOUNT_SUSPENDED: {
    passed: ofAccount("neither it nor an account above it is suspended"),
    failed: (examined) => ofStopped(examined, "SUSPENDED", "is suspended"),
  },
  ACCOUNT_CLOSED: {
    passed: ofAccount("neither it nor an account above it is closed"),
    failed: (examined) => ofStopped(examined, "CLOSED", "is closed"),
  },
  TERMS_REQUIRED: {
    absent: ({ entry }) => {
      if (entry.accounts.length < 2) return "the provider accepts no terms";
      return (termsOf(entry).length === 0 && "there are none to accept") || undefined;
    },
    passed: ({ entry, sight }) => ({
      nodeId: sight.idOf(entry.accounts.at(-2)!.id),
      detail: `nothing of ${named(termsOf(entry).map(({ document, version }) => `${document} ${version}`))} stands in the way`,
    }),
    failed: missingTerms,
  },
  TARGET_NOT_FOUND: {
    absent: ({ call }) => (call.account === "" ? "none is named: the key's own account" : undefined),
    passed: ({ target, sight }) => ({ nodeId: target[0]!.id, detail: sight.nameOf(target[0]!.id) }),
    failed: ({ entry, call }) => ({
      nodeId: undefined,
      detail: `"${call.account}": ${REACH[entry.key.kind]}`,
    }),
  },
  ADDRESS_DENIED: {
    absent: ({ entry }) => (isAddressBound(entry) ? undefined : "the key may be used from anywhere"),
    passed: allowedAddress,
    failed: deniedAddress,
  },
  INTEGRATION_DENIED: {
    absent: ({ call }) => (call.integration === "" ? "the call comes through none" : undefined),
    passed: ({ entry, call }) => ({ nodeId: entry.key.id, detail: `not barred from ${call.integration}` }),
    failed: (examined) => {
      const { integration } = examined.call;
      const isBarred = ({ deniedIntegrations }: KeyNode) => deniedIntegrations.includes(integration);
      return ofFirst(examined, isBarred, () => `is barred from ${integration}`);
    },
  },
  SCOPE_DENIED: {
    absent: ({ resource, http }) =>
      resource === "" && http === undefined ? "the call names no resource" : undefined,
    passed: allowedBy,
    failed: deniedBy,
  },
};

const PRESENTED = "the key was presented, nothing is signed";
const REACH = {
  MASTER: "no such account in the key's reach",
  ACCOUNT: "an account key acts on its own account only",
  SUB: "a sub-key names no account",
} as const;

function ofKey(detail: string): (examined: Examined) => Finding {
  return ({ entry }) => ({ nodeId: entry.key.id, detail });
}

function ofAccount(detail: string): (examined: Examined) => Finding {
  return ({ target }) => ({ nodeId: target[0]!.id, detail });
}

/** The key before its parent key, as they are checked. */
function keysOf({ key, parent }: KeyEntry): readonly KeyNode[] {
  return parent === undefined ? [key] : [key, parent];
}

function nameOf(key: KeyNode, { entry, sight }: Examined): string {
  return key === entry.key ? sight.nameOf(key.id) : `its parent key "${key.name}"`;
}

function ofFirst(
  examined: Examined,
  isIt: (key: KeyNode) => boolean,
  words: (key: KeyNode) => string,
): Finding {
  const { entry } = examined;
  const key = keysOf(entry).find(isIt) ?? entry.key;
  return { nodeId: key.id, detail: `${nameOf(key, examined)} ${words(key)}` };
}

// The time that binds: the later of two beginnings, the earlier of two ends.
function ofBinding(
  examined: Examined,
  timeIn: (key: KeyNode) => number | undefined,
  words: string,
  sign = 1,
): Finding {
  const bound = keysOf(examined.entry)
    .filter((key) => timeIn(key) !== undefined)
    .reduce((last, key) => (sign * timeIn(key)! > sign * timeIn(last)! ? key : last));
  return { nodeId: bound.id, detail: `${nameOf(bound, examined)} ${words} ${timeOf(timeIn(bound))}` };
}

function ofStopped(
  { entry, target, sight }: Examined,
  status: AccountEntry["status"],
  words: string,
): Finding {
  const stopped = [...entry.accounts, ...target].find((account) => account.status === status);
  const id = (stopped ?? target[0]!).id;
  return { nodeId: sight.idOf(id), detail: `${sight.nameOf(id)} ${words}` };
}

function brokenSignature({ entry, call, nowMs }: Examined): Finding {
  const { signing } = entry.key;
  const { signed } = call;
  const found = (detail: string) => ({ nodeId: entry.key.id, detail });
  if (signing === undefined || signed === undefined) return found("the signature does not hold");
  if (signed.algorithm !== signing.algorithm) {
    return found(`signed by ${signed.algorithm}, and the key's is ${signing.algorithm}`);
  }
  if (signed.disagreement !== undefined) return found(signed.disagreement);
  const apartMs = Math.abs(nowMs - signed.timestampMs);
  return found(`the signature does not hold, or its time is too far off: by ${Math.round(apartMs / 1000)} s`);
}

function termsOf({ accounts }: KeyEntry) {
  return accounts.at(-1)!.providerRules?.terms ?? [];
}

function missingTerms({ entry, resource, sight }: Examined): Finding {
  const organization = entry.accounts.at(-2)!;
  const missing = termsRequired(entry.accounts, resource || undefined);
  const accepted = missing && organization.acceptedTerms.get(missing.document);
  const before = accepted === undefined ? "" : `; it has accepted version ${accepted}`;
  const what = missing === undefined ? "terms" : `${missing.document} ${missing.version}`;
  return {
    nodeId: sight.idOf(organization.id),
    detail: `the organization has yet to accept ${what}${before}`,
  };
}

function allowedAddress(examined: Examined): Finding {
  const { entry, call } = examined;
  const address = call.address ?? "";
  const said = keysOf(entry).flatMap((key) => {
    const range = key.ipAllow.find((each) => new AddressList([each]).has(address));
    if (range !== undefined) return [`${nameOf(key, examined)} is for ${range}, which ${address} is of`];
    return key.ipDeny.length === 0 ? [] : [`${nameOf(key, examined)} is denied others`];
  });
  return { nodeId: entry.key.id, detail: said.join("; ") };
}

function deniedAddress(examined: Examined): Finding {
  const { address } = examined.call;
  if (address === undefined) {
    return ofFirst(
      examined,
      ({ ipAllow }) => ipAllow.length > 0,
      ({ ipAllow }) => {
        return `is for ${named(ipAllow)} only, and the address of the call is not known`;
      },
    );
  }
  const denying = ({ ipDeny }: KeyNode) => ipDeny.find((range) => new AddressList([range]).has(address));
  return ofFirst(
    examined,
    (key) =>
      denying(key) !== undefined || (key.ipAllow.length > 0 && !new AddressList(key.ipAllow).has(address)),
    (key) => {
      const range = denying(key);
      if (range !== undefined) return `is denied ${range}, which ${address} is of`;
      return `is for ${named(key.ipAllow)} only, and the call comes from ${address}`;
    },
  );
}

function timeOf(ms: number | undefined): string {
  return ms === undefined ? "an unknown time" : new Date(ms).toISOString();
}

function named(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(", ")} and ${more} more` : names.join(", ");
}
