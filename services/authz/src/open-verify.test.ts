import { describe, expect, it } from "vitest";
import { checkOpenVerify } from "./open-verify.ts";

const check = (hosts: readonly string[], open: Partial<Parameters<typeof checkOpenVerify>[0]> = {}) =>
  checkOpenVerify(
    { enabled: true, beyondLoopback: false, ...open },
    hosts.map((host) => ({ host, port: 7102 })),
  );

describe("open mode", () => {
  it.each(["127.0.0.1", "127.8.9.10", "::1", "localhost"])("may be on %s", (host) => {
    expect(() => check([host, "127.0.0.1"])).not.toThrow();
  });

  it.each(["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "localhost.example.com", "authz"])(
    "is refused on %s, be it one of two, unless that is meant",
    (host) => {
      expect(() => check(["127.0.0.1", host])).toThrow("GATEHOUSE_OPEN_VERIFY_BEYOND_LOOPBACK=true");
      expect(() => check([host], { beyondLoopback: true })).not.toThrow();
      expect(() => check([host], { enabled: false })).not.toThrow();
    },
  );

  it("is not brought about by the second setting alone", () => {
    expect(() => check(["0.0.0.0"], { enabled: false, beyondLoopback: true })).not.toThrow();
  });
});
