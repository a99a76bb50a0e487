import { KeyFormat, newPepper, parsePepper } from "@gatehouse/keys";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { foundCredentials } from "./found-credentials.ts";

const format = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
const stranger = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
const own = () => format.mint("ACCOUNT");
const found = (text: string) => foundCredentials(text, format, ["pk_", "live-"]);
const presentedIn = (text: string) => found(text).map(({ presented }) => presented);

/** What does not lengthen a key that stands beside it. */
const around = fc.string({ unit: fc.constantFrom(..." \n\t\"'`,;:=&?/()<>é\0"), maxLength: 20 });

describe("credentials in a text", () => {
  test("of the own format are found whatever is around them, with the ids that they say", () => {
    const anything = fc.string({ unit: "binary", maxLength: 50 });
    fc.assert(
      fc.property(anything, anything, (before, after) => {
        const { presented, keyId } = own();
        const [first] = found(before + presented + after);
        expect(first).toMatchObject({ presented, keyId });
      }),
    );
  });

  test("made elsewhere are found from their prefix to where no key goes on", () => {
    const secret = fc.stringMatching(/^(pk_|live-)[A-Za-z0-9_-]{1,60}$/);
    fc.assert(
      fc.property(around, secret, around, (before, secret, after) => {
        expect(presentedIn(before + secret + after)).toContain(secret);
      }),
    );
  });

  test("made elsewhere of odd characters are found where they stand alone", () => {
    expect(presentedIn("  pk_with.dots/and+more=\n")).toContain("pk_with.dots/and+more=");
  });

  test("are none where nobody minted them, and no text is too odd", () => {
    const forged = stranger.mint("MASTER").presented;
    for (const text of ["", "hunter2", forged, `${own().presented.slice(0, -1)}!`]) {
      expect(presentedIn(text)).toEqual([]);
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1000 }), (text) => {
        found(text);
      }),
    );
  });

  test("are bounded, of a text made to have many", () => {
    for (const text of ["pk_".repeat(333), "pk_! ".repeat(200), "live-pk_".repeat(125)]) {
      expect(found(text).length).toBeLessThanOrEqual(21);
    }
  });
});
