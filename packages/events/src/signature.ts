import { createHmac } from "node:crypto";

/**
 * The header `gatehouse-signature` of a body: `t=<Unix seconds>,v1=<HMAC-SHA256 over "t.body", in hex>`.
 * The time is signed too, so that a receiver can refuse what someone recorded and sends again later.
 */
export function signatureOf(body: string, secret: string, unixSeconds: number): string {
  const mac = createHmac("sha256", secret).update(`${unixSeconds}.${body}`).digest("hex");
  return `t=${unixSeconds},v1=${mac}`;
}
