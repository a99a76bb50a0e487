import { expect, it } from "vitest";
import { signatureOf } from "./signature.ts";

it("a signature is the one of the test vector", () => {
  const body = '{"id":"evt_00000000000000000001","type":"key.revoked","data":{}}';
  const signature = signatureOf(body, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", 1_764_000_000);
  expect(signature).toBe("t=1764000000,v1=980d55473c365dad6e7f0bd583ef679c6b458db4e5b5e551b42e7315e0920657");
});
