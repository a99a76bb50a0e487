import { create } from "@bufbuild/protobuf";
import { VerifyRequestSchema } from "@gatehouse/proto/authz";
import { Failure } from "@gatehouse/service/failure";
import { expect, it } from "vitest";
import { verifyCall } from "./verify-call.ts";

function read(integration: string) {
  return verifyCall(create(VerifyRequestSchema, { key: "gth_acc_1", integration }), undefined);
}

it("reads an integration in any case: a gateway that writes Zapier means the one that keys are barred from", () => {
  expect([read("zapier"), read("Zapier"), read("")].map(({ integration }) => integration)).toEqual([
    "zapier",
    "zapier",
    "",
  ]);
});

it("refuses what can be no integration's name, which would bar nobody", () => {
  for (const integration of ["zap ier", "zapier ", "Zapier/1", "z".repeat(64)]) {
    expect(() => read(integration), integration).toThrow(Failure);
    expect(() => read(integration), integration).toThrow("integration: must be kebab-case");
  }
});
