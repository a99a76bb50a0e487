import { expect, it } from "vitest";
import { warnOfLost } from "./audited-guard.ts";
import { MAX_REFUSALS } from "./refusal-budget.ts";
import { RefusalRecord } from "./refusal-record.ts";

it("counts refusals that could not be written, and says so once in a while", async () => {
  const warnings: object[] = [];
  const record = new RefusalRecord(warnOfLost({ warn: (fields: object) => warnings.push(fields) }));
  const err = new Error("the database is away");
  await record.put("key_a", 0, () => Promise.resolve());
  expect([record.lost, warnings]).toEqual([0, []]);
  for (let n = 0; n < 3; n++) await record.put("key_a", 0, () => Promise.reject(err));
  expect([record.lost, warnings]).toEqual([3, [{ err, times: 1 }]]);
});

it("writes so many of one key in a minute, and does not count the others as lost", async () => {
  let written = 0;
  const record = new RefusalRecord(() => {});
  const write = async () => {
    written++;
  };
  for (let n = 0; n < MAX_REFUSALS + 5; n++) await record.put("key_a", 0, write);
  expect([written, record.lost]).toEqual([MAX_REFUSALS, 0]);
});
