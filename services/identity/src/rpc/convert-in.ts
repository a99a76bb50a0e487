import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { Profile as WireProfile } from "@gatehouse/proto/identity";
import {
  LeakPolicy,
  SigningAlgorithm,
  AccountStatus as WireAccountStatus,
  InvitationStatus as WireInvitationStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
} from "@gatehouse/proto/identity";
import { PROFILE_FIELDS, type Profile, type ProfileField } from "../domain/accounts/account.ts";

/** An enum's value as the domain's name; undefined where not said, a name nobody has where not known. */
export function kindName(kind: WireKeyKind): string | undefined {
  return nameIn(WireKeyKind, kind);
}

export function keyStatusName(status: WireKeyStatus): string | undefined {
  return nameIn(WireKeyStatus, status);
}

export function accountStatusName(status: WireAccountStatus): string | undefined {
  return nameIn(WireAccountStatus, status);
}

export function invitationStatusName(status: WireInvitationStatus): string | undefined {
  return nameIn(WireInvitationStatus, status);
}

export function algorithmName(algorithm: SigningAlgorithm): string | undefined {
  return nameIn(SigningAlgorithm, algorithm);
}

export function leakPolicyName(policy: LeakPolicy): string | undefined {
  return nameIn(LeakPolicy, policy);
}

/** Unix milliseconds, rounded down; not a number for what no Timestamp may hold. */
export function unixMs(timestamp: Timestamp | undefined): number | undefined {
  if (timestamp === undefined) return undefined;
  const { seconds, nanos } = timestamp;
  if (nanos < 0 || nanos > 999_999_999) return Number.NaN;
  return Number(seconds) * 1000 + Math.floor(nanos / 1_000_000);
}

/** Milliseconds, rounded down; not a number for what no Duration may hold. */
export function durationMs(duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  const { seconds, nanos } = duration;
  const mixed = (seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0);
  if (mixed || Math.abs(nanos) > 999_999_999) return Number.NaN;
  return Number(seconds) * 1000 + Math.floor(nanos / 1_000_000);
}

/** What is said of a profile; fields left empty are left out. */
export function profileOf(profile: WireProfile | undefined): Profile {
  const said: Partial<Record<ProfileField, string>> = {};
  for (const field of PROFILE_FIELDS) {
    if (profile !== undefined && profile[field] !== "") said[field] = profile[field];
  }
  return said;
}

function nameIn(names: Readonly<Record<number, string>>, value: number): string | undefined {
  return value === 0 ? undefined : (names[value] ?? "UNKNOWN");
}
