import { isIP } from "node:net";
import type { Call } from "@gatehouse/service";
import type { AddressList } from "./address.ts";

/**
 * Where a call comes from: the right-most hop that is not one of our own proxies. Proxies append the address that they
 * see to X-Forwarded-For, so what is left of the right-most untrusted hop is only what that hop said of itself.
 *
 * `peer` is the other end of the connection, `forwardedFor` the header as it came. Undefined where that is not known:
 * a trusted proxy names something that is no address, such as `unknown`.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trusted: AddressList | undefined,
): string | undefined {
  if (trusted === undefined || forwardedFor === undefined || forwardedFor === "") return peer;
  if (peer === undefined || !trusted.has(peer)) return peer;
  const hops = forwardedFor.split(",");
  for (let at = hops.length - 1; ; at--) {
    const address = addressOf(hops[at]!.trim());
    // Where all are ours the first of them is where the call began.
    if (address === undefined || at === 0 || !trusted.has(address)) return address;
  }
}

/** Where a call to ourselves comes from. */
export function addressOfCall(
  trusted: AddressList | undefined,
): (call: Pick<Call, "header" | "peerAddress">) => string | undefined {
  return (call) =>
    trusted === undefined
      ? call.peerAddress
      : clientAddress(call.peerAddress, call.header("x-forwarded-for"), trusted);
}

/** An address without a zone: what an address list can hold. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes("%");
}

// Some proxies append the port: 192.0.2.1:4711, [2001:db8::1]:4711.
function addressOf(hop: string): string | undefined {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(hop) ?? [];
  const address = bracketed ?? plain ?? hop;
  return isAddress(address) ? address : undefined;
}
