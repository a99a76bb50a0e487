import { expect, it } from "vitest";
import { keyOf, viewOf } from "../test/nodes.ts";
import { integrationName, isIntegrationAllowed } from "./integration.ts";

it("is called the same in any case, and nothing that is no name is one", () => {
  expect(["zapier", "Zapier", "MAKE-2", "a".repeat(63)].map(integrationName)).toEqual([
    "zapier",
    "zapier",
    "make-2",
    "a".repeat(63),
  ]);
  // The last is KELVIN SIGN, which is a `k` in lower case.
  const none = [
    "",
    "-",
    "a-",
    "-a",
    "a--b",
    "a b",
    "a_b",
    "zapier ",
    "zapier\n",
    "é",
    "a".repeat(64),
    "\u212A",
  ];
  expect(none.map(integrationName)).toEqual(none.map(() => undefined));
});

it("bars a key that is barred from it, and the sub-keys of one", () => {
  const barred = keyOf({ deniedIntegrations: ["zapier"] });
  expect(isIntegrationAllowed(viewOf({ key: barred }), "zapier")).toBe(false);
  expect(isIntegrationAllowed(viewOf({ parent: barred }), "zapier")).toBe(false);
  expect(isIntegrationAllowed(viewOf({ key: barred }), "make")).toBe(true);
  expect(isIntegrationAllowed(viewOf({ key: barred }), "")).toBe(true);
});
