import { BlockList, isIP } from "node:net";

/** IPv4 that is no receiver's on the public internet. */
const notPublic = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8], // this host
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // shared by a provider's customers; some clouds' metadata
  ["127.0.0.0", 8], // loopback
  ["168.63.129.16", 32], // one cloud's own services
  ["169.254.0.0", 16], // link-local, and metadata
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocols
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // relays
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved, and broadcast
] as const) {
  notPublic.addSubnet(network, prefix, "ipv4");
}

/** Of IPv6 all that is routed globally is in one block; parts of it carry other addresses or are for documentation. */
const globalV6 = new BlockList();
globalV6.addSubnet("2000::", 3, "ipv6");
for (const [network, prefix] of [
  ["2001::", 23], // protocols, Teredo
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4: an IPv4 address in disguise
  ["3fff::", 20], // documentation
] as const) {
  notPublic.addSubnet(network, prefix, "ipv6");
}

/** IPv4 written as IPv6. */
const mapped = new BlockList();
mapped.addSubnet("::ffff:0:0", 96, "ipv6");

/**
 * Is it an address of the public internet? Not loopback, private, link-local, multicast, unspecified, reserved, or
 * where clouds keep their metadata. An IPv6 address that only carries an IPv4 one is judged by that one where it is
 * mapped, and is none where it is translated.
 */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return !notPublic.check(address, "ipv4");
  if (version !== 6 || address.includes("%")) return false;
  // A mapped address is checked against the rules for IPv4.
  if (mapped.check(address, "ipv6")) return !notPublic.check(address, "ipv6");
  return globalV6.check(address, "ipv6") && !notPublic.check(address, "ipv6");
}
