import { create } from "@bufbuild/protobuf";
import { VerifyRequestSchema } from "@gatehouse/proto/authz";
import { denied, Failure } from "@gatehouse/service/failure";
import { expect, it } from "vitest";
import { batchCalls } from "./batch-calls.ts";
import { verifyCall } from "./verify-call.ts";

const good = { key: "gth_acc_1", resource: "weather.read" };
const requests = (...inits: object[]) => inits.map((init) => create(VerifyRequestSchema, init));
const read: Parameters<typeof batchCalls>[1] = (request, at) => verifyCall(request, undefined, at);

function badFields(...inits: object[]): string[] {
  try {
    batchCalls(requests(...inits), read);
    return [];
  } catch (error) {
    return (error as Failure).violations.map(({ field }) => field);
  }
}

it("reads every call, and names what is bad in each of them", () => {
  expect(batchCalls(requests(good, { ...good, resource: "" }), read).map(({ at }) => at)).toEqual([
    "requests[0].",
    "requests[1].",
  ]);
  expect(badFields(good, { ...good, resource: "a..b" }, good, { clientIp: "nowhere" })).toEqual([
    "requests[1].resource",
    "requests[3].key",
    "requests[3].client_ip",
  ]);
});

it("names no more than twenty, and reads no further", () => {
  let reads = 0;
  const counting: typeof read = (request, at) => {
    reads++;
    return read(request, at);
  };
  const all = requests(...Array.from({ length: 1000 }, () => ({ resource: "a..b", clientIp: "nowhere" })));
  expect(() => batchCalls(all, counting)).toThrow(Failure);
  expect(reads).toBe(7);
  expect(badFields(...all)).toHaveLength(20);
});

it("fails at once with what is not about its fields", () => {
  const barred = () => {
    throw denied("INTEGRATION_DENIED", "the verifier's key is barred");
  };
  expect(() => batchCalls(requests({}), barred)).toThrow("barred");
});
