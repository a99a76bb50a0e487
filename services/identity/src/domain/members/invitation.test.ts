import { KeyFormat, mintId, newPepper, parsePepper } from "@gatehouse/keys";
import { describe, expect, it } from "vitest";
import { invitationIdOf, mintToken } from "./invitation.ts";

const [old, current] = ["1", "2"].map((version) => parsePepper(newPepper(version)));
const format = new KeyFormat({ peppers: [current!, old!] });

describe("an invitation's token", () => {
  it("has the id to look for", () => {
    const id = mintId("inv");
    const { token } = mintToken(format, id);
    expect(invitationIdOf(format, token)).toBe(id);
    const before = mintToken(new KeyFormat({ peppers: [old!] }), id).token;
    expect(invitationIdOf(format, before)).toBe(id);
  });

  it("that was not minted here is looked for nowhere", () => {
    const { token } = mintToken(format, mintId("inv"));
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === "0" ? "1" : "0";
      expect(invitationIdOf(format, token.slice(0, at) + other + token.slice(at + 1))).toBeUndefined();
    }
    const elsewhere = mintToken(new KeyFormat({ peppers: [parsePepper(newPepper("2"))] }), mintId("inv"));
    const hostile = ["", "gth_inv_", `${token}0`, token.slice(1), format.mint("ACCOUNT").presented];
    for (const text of [...hostile, elsewhere.token, token.repeat(10_000)]) {
      expect(invitationIdOf(format, text)).toBeUndefined();
    }
  });
});
