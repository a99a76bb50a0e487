import { gatehouse } from "@gatehouse/client";
import { DecisionCode, type VerifyRequest } from "@gatehouse/proto/authz";
import { expect, it } from "vitest";
import { type SendOptions, send } from "./send.ts";
import { Tally } from "./tally.ts";

const nobody = gatehouse({ key: "gth_key", authz: "http://127.0.0.1:1" }).authz;
const { VALID, INDETERMINATE, QUOTA_EXCEEDED } = DecisionCode;

/** Sends calls of 1, 2, 3 … bytes to an authz that answers each by `decide`; undefined: it cannot be reached. */
async function replayed(
  calls: number,
  decide: (request: VerifyRequest, batch: number) => DecisionCode | undefined,
): Promise<{ tally: Tally; batches: VerifyRequest[][] }> {
  const batches: VerifyRequest[][] = [];
  const tally = new Tally(2);
  const authz = {
    async batchVerify({ requests }: { requests: VerifyRequest[] }) {
      batches.push(requests);
      const codes = requests.map((request) => decide(request, batches.length));
      if (codes.includes(undefined)) return nobody.batchVerify({});
      const bindingLimit = { limitId: "lim_1", nodeId: "acc_1", meter: "bytes" };
      return { responses: codes.map((code) => ({ code, bindingLimit, warnings: [] })) };
    },
  } as unknown as SendOptions["authz"];
  async function* trace() {
    for (let line = 1; line <= calls; line++) {
      yield { line, timeMs: 0, accountId: `acc_${line % 2}`, units: [1n, BigInt(line)] };
    }
  }
  const meters = ["requests", "bytes"];
  const options = { authz, masterKey: "gth_mst", meters, resource: "", freshness: [], tally };
  await send(trace(), { ...options, batch: 3, inFlight: 1, speed: undefined, onAnswered() {} });
  return { tally, batches };
}

const idsOf = (batch: readonly VerifyRequest[]) => batch.map(({ requestId }) => requestId);

it("counts what was admitted and refused, and by which limit", async () => {
  const { tally, batches } = await replayed(5, ({ charges }) =>
    charges[1]!.units > 3n ? QUOTA_EXCEEDED : VALID,
  );
  expect(batches.map((batch) => batch.length)).toEqual([3, 2]);
  expect(tally.total("sent")).toEqual([5n, 15n]);
  expect(tally.total("admitted")).toEqual([3n, 6n]);
  expect(tally.total("refused")).toEqual([2n, 9n]);
  expect([...tally.refusals.values()]).toMatchObject([
    { limitId: "lim_1", least: [1n, 4n], units: [2n, 9n] },
  ]);
  expect(tally.accounts.get("acc_0")!.refused).toEqual([1n, 4n]);
});

it("asks again for what was not decided, under another request id", async () => {
  const { tally, batches } = await replayed(3, ({ charges }, batch) =>
    charges[1]!.units === 2n && batch < 4 ? INDETERMINATE : VALID,
  );
  expect(batches.map((batch) => batch.length)).toEqual([3, 1, 1, 1]);
  expect(new Set(batches.flatMap(idsOf)).size).toBe(6);
  expect(tally).toMatchObject({ indeterminate: 3, undecided: 0, resent: 0 });
  expect(tally.total("admitted")).toEqual([3n, 6n]);
});

it("sends a batch whose answer was lost again under the same request ids", async () => {
  const { tally, batches } = await replayed(2, (_, batch) => (batch === 1 ? undefined : VALID));
  expect(idsOf(batches[1]!)).toEqual(idsOf(batches[0]!));
  expect(tally).toMatchObject({ resent: 1, indeterminate: 0 });
  expect(tally.total("admitted")).toEqual([2n, 3n]);
});
