import { BlockList, isIP } from "node:net";
import type { KeyNode, KeyView } from "./node.ts";
import { remembered } from "./remembered.ts";

/** Addresses and ranges, IPv4 and IPv6, compiled. */
export class AddressList {
  readonly #list = new BlockList();

  /** Each an address or a range in CIDR; throws where one is neither. */
  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const { address, prefix, family } = parsed(range);
      this.#list.addSubnet(address, prefix, family);
    }
  }

  /** False for what is no address. IPv4 mapped into IPv6 is IPv4. */
  has(address: string): boolean {
    const plain = plainAddress(address);
    const family = familyOf(plain);
    return family !== undefined && this.#list.check(plain, family);
  }
}

/**
 * The range in its one spelling: `10.1.2.3` → `10.1.2.3/32`, `10.1.2.3/8` → `10.0.0.0/8`, `2001:DB8::1/32` →
 * `2001:db8::/32`. Undefined for what is neither an address nor a range.
 */
export function canonicalRange(text: string): string | undefined {
  const [given = "", bits, ...more] = text.split("/");
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(given)?.[1];
  const address = mapped ?? given;
  const family = familyOf(address);
  if (family === undefined || more.length > 0 || address.includes("%")) return undefined;
  const width = family === "ipv4" ? 32 : 128;
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  let prefix = bits === undefined ? width : Number(bits);
  if (mapped !== undefined && bits !== undefined) prefix -= 96;
  if (prefix < 0 || prefix > width) return undefined;
  return `${family === "ipv4" ? network4(address, prefix) : network6(address, prefix)}/${prefix}`;
}

/**
 * May the key be used from the address? Its own list and its parent key's must both say so. A key with a list to be
 * on is refused where the address is not known.
 */
export function isAddressAllowed(
  { key, parent }: Pick<KeyView, "key" | "parent">,
  address: string | undefined,
): boolean {
  return allows(key, address) && (parent === undefined || allows(parent, address));
}

/** Whether the key's addresses are looked at at all. */
export function isAddressBound({ key, parent }: Pick<KeyView, "key" | "parent">): boolean {
  return isBound(key) || (parent !== undefined && isBound(parent));
}

function isBound({ ipAllow, ipDeny }: KeyNode): boolean {
  return ipAllow.length > 0 || ipDeny.length > 0;
}

function allows({ ipAllow, ipDeny }: KeyNode, address: string | undefined): boolean {
  if (ipAllow.length === 0 && ipDeny.length === 0) return true;
  if (address === undefined) return ipAllow.length === 0;
  if (ipDeny.length > 0 && listOf(ipDeny).has(address)) return false;
  return ipAllow.length === 0 || listOf(ipAllow).has(address);
}

// Kept beside the immutable list in the node.
const listOf = remembered((ranges: readonly string[]) => new AddressList(ranges));

function parsed(range: string): { address: string; prefix: number; family: "ipv4" | "ipv6" } {
  const canonical = canonicalRange(range);
  if (canonical === undefined) throw new Error(`${range} is no address and no range`);
  const [address, bits] = canonical.split("/") as [string, string];
  return { address, prefix: Number(bits), family: familyOf(address)! };
}

function plainAddress(address: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address;
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  switch (isIP(address)) {
    case 4:
      return "ipv4";
    case 6:
      return "ipv6";
    default:
      return undefined;
  }
}

function network4(address: string, prefix: number): string {
  const bits = address.split(".").reduce((word, octet) => word * 256 + Number(octet), 0);
  const size = 2 ** (32 - prefix);
  const network = Math.floor(bits / size) * size;
  return [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join(".");
}

function network6(address: string, prefix: number): string {
  const groups = groupsOf(address).map((group, index) => {
    const kept = Math.min(16, Math.max(0, prefix - index * 16));
    return kept === 0 ? 0 : group & (0xffff << (16 - kept)) & 0xffff;
  });
  // The URL parser writes IPv6 in the one form of RFC 5952.
  const host = new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]/`).hostname;
  return host.slice(1, -1);
}

function groupsOf(address: string): number[] {
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = new Array<string>(8 - left.length - right.length).fill("0");
  return [...left, ...(tail === undefined ? [] : middle), ...right].map((group) =>
    Number.parseInt(group, 16),
  );
}
