import { BlockList, isIP } from "node:net";
import { type Address, ConfigError, joinAddress } from "@gatehouse/service";

/** As configured: whether calls without a credential are let in, and whether that may be where others can call. */
export interface OpenVerify {
  readonly enabled: boolean;
  readonly beyondLoopback: boolean;
}

/**
 * Open mode is for a sidecar, where whoever can dial the port is the application itself. Beyond the loopback it lets
 * the whole network ask about keys and spend their quotas: that takes a second word. Throws ConfigError.
 */
export function checkOpenVerify(open: OpenVerify, listeners: readonly Address[]): void {
  if (!open.enabled || open.beyondLoopback) return;
  const outside = listeners.filter(({ host }) => !isLoopback(host));
  if (outside.length === 0) return;
  const where = outside.map(({ host, port }) => joinAddress(host, port)).join(", ");
  throw new ConfigError([
    `GATEHOUSE_OPEN_VERIFY lets anybody in who can dial ${where}: listen on 127.0.0.1 or ::1, or, where the network ` +
      "itself keeps others away, set GATEHOUSE_OPEN_VERIFY_BEYOND_LOOPBACK=true",
  ]);
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host === "localhost" : loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}
