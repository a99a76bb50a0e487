import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressList } from "./address.ts";
import { addressOfCall, clientAddress, isAddress } from "./client-address.ts";

const trusted = new AddressList(["10.0.0.0/8", "fd00::/8"]);

describe("the address that a call comes from", () => {
  it.each([
    // peer, X-Forwarded-For, address
    ["192.0.2.1", undefined, "192.0.2.1"],
    ["192.0.2.1", "198.51.100.7", "192.0.2.1"], // whoever is not ours says what it likes
    ["10.0.0.1", undefined, "10.0.0.1"],
    ["10.0.0.1", "198.51.100.7", "198.51.100.7"],
    ["10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"],
    ["10.0.0.1", "203.0.113.9,198.51.100.7 , 10.2.3.4", "198.51.100.7"],
    ["fd00::1", "2001:db8::7, fd12::9", "2001:db8::7"],
    ["::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"],
    ["10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["10.0.0.1", "198.51.100.7:4711", "198.51.100.7"],
    ["10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"],
    ["10.0.0.1", "[2001:db8::7]", "2001:db8::7"],
    ["10.0.0.1", "198.51.100.7, unknown", undefined],
    ["10.0.0.1", "198.51.100.7,", undefined],
    ["10.0.0.1", "fe80::1%eth0", undefined],
    ["10.0.0.1", "10.0.0.0/8", undefined],
    [undefined, "198.51.100.7", undefined],
  ])("is, of %s with %s, %s", (peer, forwardedFor, address) => {
    expect(clientAddress(peer, forwardedFor, trusted)).toBe(address);
  });

  it("is the other end where no proxies are configured", () => {
    expect(clientAddress("10.0.0.1", "198.51.100.7", undefined)).toBe("10.0.0.1");
    const call = { header: () => "198.51.100.7", peerAddress: "10.0.0.1" };
    expect([addressOfCall(undefined)(call), addressOfCall(trusted)(call)]).toEqual([
      "10.0.0.1",
      "198.51.100.7",
    ]);
  });

  it("does not depend on what the first untrusted hop says of itself", () => {
    const ours = fc.nat(255).map((octet) => `10.0.0.${octet}`);
    const theirs = fc.nat(255).map((octet) => `198.51.100.${octet}`);
    const said = fc.array(fc.oneof(ours, theirs, fc.string({ maxLength: 12 })), { maxLength: 4 });
    fc.assert(
      fc.property(said, theirs, fc.array(ours, { minLength: 1, maxLength: 4 }), (forged, client, proxies) => {
        const hops = [...forged, client, ...proxies];
        const peer = hops.pop()!;
        expect(clientAddress(peer, hops.join(", "), trusted)).toBe(client);
      }),
    );
  });

  it.each([
    ["192.0.2.1", true],
    ["2001:db8::1", true],
    ["::ffff:192.0.2.1", true],
    ["192.0.2.1/32", false],
    ["fe80::1%eth0", false],
    ["192.0.2", false],
    ["", false],
  ])("%s is an address: %s", (text, is) => {
    expect(isAddress(text)).toBe(is);
  });
});
