import fc from "fast-check";
import { expect, test } from "vitest";
import { Fields } from "../fields.ts";
import { checkImportPrefixes } from "./import-prefixes.ts";

const OWN = "gth";

function accepted(prefixes: readonly string[]): boolean {
  const fields = new Fields();
  checkImportPrefixes(fields, prefixes, OWN);
  try {
    fields.check();
    return true;
  } catch {
    return false;
  }
}

// Few characters and those of the deployment's own prefix, so that prefixes of prefixes are common.
const prefix = fc.string({ unit: fc.constantFrom("g", "t", "h", "_", "a"), minLength: 1, maxLength: 6 });

test("a key begins with one import prefix at most, and then not as keys that are minted here", () => {
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 5 }), prefix, (prefixes, rest) => {
      fc.pre(accepted(prefixes));
      for (const one of prefixes) {
        const key = `${one}${rest}`;
        expect(prefixes.filter((each) => key.startsWith(each))).toEqual([one]);
        expect(key.startsWith(`${OWN}_`)).toBe(false);
      }
    }),
  );
});

test("what is refused would be ambiguous or is no prefix", () => {
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 5 }), (prefixes) => {
      const own = `${OWN}_`;
      const clash = prefixes.some(
        (one, index) =>
          one.length < 2 ||
          one.startsWith(own) ||
          own.startsWith(one) ||
          prefixes.some((other, at) => at !== index && one.startsWith(other)),
      );
      expect(accepted(prefixes)).toBe(!clash);
    }),
  );
});
