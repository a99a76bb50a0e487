import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyOf } from "../test/nodes.ts";
import { AddressList, canonicalRange, isAddressAllowed } from "./address.ts";

describe("a range", () => {
  it.each([
    ["10.1.2.3", "10.1.2.3/32"],
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["255.255.255.255/31", "255.255.255.254/31"],
    ["2001:DB8::1", "2001:db8::1/128"],
    ["2001:db8:0:0:1::1/32", "2001:db8::/32"],
    ["2001:db8:ffff::/33", "2001:db8:8000::/33"],
    ["::/0", "::/0"],
    ["::ffff:10.0.0.1", "10.0.0.1/32"],
    ["::ffff:10.0.0.1/104", "10.0.0.0/8"],
  ])("%s is %s", (text, canonical) => expect(canonicalRange(text)).toBe(canonical));

  it.each([
    "",
    "10.1.2",
    "10.1.2.3/33",
    "10.1.2.3/-1",
    "10.1.2.3/08",
    "10.1.2.3/8/8",
    "10.1.2.3/",
    "::1/129",
    "fe80::1%eth0",
    "::ffff:10.0.0.1/64",
    "example.com",
    "010.1.2.3",
  ])("%j is none", (text) => expect(canonicalRange(text)).toBeUndefined());

  it("holds the addresses that share its first bits, and no others", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.nat({ max: 32 }), (network, address, bits) => {
        const word = (ip: string) => ip.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
        const cut = (ip: string) => Math.floor(word(ip) / 2 ** (32 - bits));
        expect(new AddressList([`${network}/${bits}`]).has(address)).toBe(cut(network) === cut(address));
      }),
    );
  });

  it("is one spelling of what it holds", () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat({ max: 128 }), (network, bits) => {
        const canonical = canonicalRange(`${network}/${bits}`);
        if (canonical === undefined) return;
        expect(canonicalRange(canonical)).toBe(canonical);
        expect(new AddressList([canonical]).has(network)).toBe(true);
      }),
    );
  });
});

describe("a key", () => {
  it("is used from the addresses that its lists and its parent key's leave", () => {
    const key = keyOf({ ipAllow: ["10.0.0.0/8"], ipDeny: ["10.1.0.0/16"] });
    const parent = keyOf({ ipDeny: ["10.2.0.0/16"] });
    const may = (address: string | undefined) => isAddressAllowed({ key, parent }, address);
    expect(may("10.3.0.1")).toBe(true);
    expect(may("::ffff:10.3.0.1")).toBe(true);
    expect(may("10.1.0.1")).toBe(false);
    expect(may("10.2.0.1")).toBe(false);
    expect(may("192.0.2.1")).toBe(false);
    expect(may("2001:db8::1")).toBe(false);
  });

  it("with a list to be on is refused where the address is not known, or is none", () => {
    const key = keyOf({ ipAllow: ["0.0.0.0/0"] });
    expect(isAddressAllowed({ key, parent: undefined }, undefined)).toBe(false);
    expect(isAddressAllowed({ key, parent: undefined }, "unix:")).toBe(false);
    expect(isAddressAllowed({ key: keyOf(), parent: undefined }, undefined)).toBe(true);
  });
});
