import { hash } from "node:crypto";

/** SHA-256, base64url, of plain values in order: what a request asked for, as it was sent. */
export function digestOf(values: readonly (string | bigint)[]): string {
  return hash("sha256", JSON.stringify(values.map(String)), "base64url");
}
