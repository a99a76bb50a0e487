import { newVersionedSecret, parseVersionedSecret, type VersionedSecret } from "./versioned-secret.ts";

/** The secret that tags are keyed by; its version is part of every key tagged with it. */
export type Pepper = VersionedSecret;

/** Reads `<version>:<secret>` as `parseVersionedSecret` does. Throws `KeyFormatError`. */
export function parsePepper(text: string): Pepper {
  return parseVersionedSecret(text, "pepper");
}

/** A new random pepper, as the text to put in the configuration. */
export function newPepper(version: string): string {
  return newVersionedSecret(version, "pepper");
}
